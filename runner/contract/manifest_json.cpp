// A manifest written out again: what parse_manifest reads back as the same value, every default in place.
#include <nlohmann/json.hpp>

#include "runner/contract/manifest.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

void put_text(json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

json source_json(const Source& source) {
  json object = json::object();
  put_text(object, "provider", source.provider);
  put_text(object, "vm_id", source.vm_id);
  put_text(object, "vm_name", source.vm_name);
  put_text(object, "datacenter", source.datacenter);
  put_text(object, "export_timestamp", source.export_timestamp);
  put_text(object, "export_method", source.export_method);
  return object;
}

json vm_json(const Vm& vm) {
  json object = {{"firmware", to_string(vm.firmware)},
                 {"secureboot", vm.secureboot},
                 {"os_hint", to_string(vm.os_hint)}};
  if (vm.cpu) object["cpu"] = *vm.cpu;
  if (vm.mem_gb) object["mem_gb"] = *vm.mem_gb;
  put_text(object, "os_version", vm.os_version);
  return object;
}

json disk_json(const Disk& disk) {
  json object = {{"id", disk.id},
                 {"source_format", to_string(disk.source_format)},
                 {"bytes", disk.bytes},
                 {"local_path", disk.local_path},
                 {"boot_order_hint", disk.boot_order_hint},
                 {"label", disk.label.empty() ? disk.id : disk.label},
                 {"disk_type", to_string(disk.disk_type)}};
  if (disk.sha256) object["checksum"] = "sha256:" + *disk.sha256;
  return object;
}

json nic_json(const Nic& nic) {
  json object = json::object();
  put_text(object, "id", nic.id);
  put_text(object, "mac", nic.mac);
  put_text(object, "network", nic.network);
  return object;
}

json pipeline_json(const Pipeline& pipeline) {
  json convert = {{"enabled", pipeline.convert.enabled},
                  {"compress", pipeline.convert.compress},
                  {"compression", to_string(pipeline.convert.compression)}};
  if (pipeline.convert.compress_level) convert["compress_level"] = *pipeline.convert.compress_level;
  const FixStage& fix = pipeline.fix;
  const BootValidation& boot = pipeline.validate.boot;
  json boot_json = {{"enabled", boot.enabled}, {"timeout_seconds", boot.timeout_seconds}};
  if (boot.mem_mb) boot_json["mem_mb"] = *boot.mem_mb;
  if (boot.cpu) boot_json["cpu"] = *boot.cpu;
  return {
      {"inspect",
       {{"enabled", pipeline.inspect.enabled}, {"collect_guest_info", pipeline.inspect.collect_guest_info}}},
      {"fix",
       {{"enabled", fix.enabled},
        {"backup", fix.backup},
        {"print_fstab", fix.print_fstab},
        {"update_grub", fix.update_grub},
        {"regen_initramfs", fix.regen_initramfs},
        {"fstab_mode", to_string(fix.fstab_mode)},
        {"remove_vmware_tools", fix.remove_vmware_tools},
        {"root", fix.root}}},
      {"convert", convert},
      {"validate",
       {{"enabled", pipeline.validate.enabled},
        {"check_image_integrity", pipeline.validate.check_image_integrity},
        {"boot", std::move(boot_json)}}}};
}

json configuration_json(const GuestConfiguration& configuration) {
  json object = json::object();
  for (const GuestUser& user : configuration.users) {
    json entry = {{"name", user.name},
                  {"ssh_authorized_keys", user.ssh_authorized_keys},
                  {"groups", user.groups},
                  {"sudo", user.sudo}};
    put_text(entry, "password_hash", user.password_hash);
    object["users"].push_back(std::move(entry));
  }
  if (!configuration.services.enable.empty()) object["services"]["enable"] = configuration.services.enable;
  if (!configuration.services.disable.empty()) object["services"]["disable"] = configuration.services.disable;
  put_text(object, "hostname", configuration.hostname);
  if (!configuration.network_files.empty()) object["network"]["files"] = configuration.network_files;
  return object;
}

json libvirt_json(const Libvirt& libvirt) {
  json object = {{"enabled", libvirt.enabled},
                 {"uri", libvirt.uri},
                 {"autostart", libvirt.autostart},
                 {"start", libvirt.start},
                 {"overwrite", libvirt.overwrite}};
  put_text(object, "name", libvirt.name);
  put_text(object, "pool", libvirt.pool);
  put_text(object, "network", libvirt.network);
  put_text(object, "bridge", libvirt.bridge);
  return object;
}

}  // namespace

nlohmann::json to_json(const Manifest& manifest) {
  json document = {{"manifest_version", manifest.manifest_version},
                   {"source", source_json(manifest.source)},
                   {"vm", vm_json(manifest.vm)},
                   {"disks", json::array()},
                   {"nics", json::array()},
                   {"notes", manifest.notes},
                   {"warnings", manifest.warnings},
                   {"options",
                    {{"dry_run", manifest.options.dry_run},
                     {"verbose", manifest.options.verbose},
                     {"report",
                      {{"enabled", manifest.options.report_enabled},
                       {"path", manifest.options.report_path},
                       {"attest", manifest.options.attest}}}}}};
  for (const Disk& disk : manifest.disks) document["disks"].push_back(disk_json(disk));
  for (const Nic& nic : manifest.nics) document["nics"].push_back(nic_json(nic));
  json output = {{"format", to_string(manifest.output.format)}};
  output["directory"] = manifest.output.directory.empty() ? "output" : manifest.output.directory;
  if (manifest.output.filename) output["filename"] = *manifest.output.filename;
  if (!manifest.output.devices.empty()) output["devices"] = manifest.output.devices;
  if (!manifest.output.files.empty()) output["files"] = manifest.output.files;
  document["output"] = std::move(output);
  if (manifest.has_pipeline) document["pipeline"] = pipeline_json(manifest.pipeline);
  if (!manifest.configuration.empty()) document["configuration"] = configuration_json(manifest.configuration);
  if (manifest.libvirt) document["libvirt"] = libvirt_json(*manifest.libvirt);
  return document;
}

}  // namespace hyper2kvm::contract
