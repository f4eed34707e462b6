// The words of the manifest's enumerations: one table for each, read by the parser and by to_string. Internal
// to this room.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "runner/contract/events.h"
#include "runner/contract/manifest.h"

namespace hyper2kvm::contract {

template <class Enum>
struct Word {
  Enum value;
  std::string_view word;
  bool alias = false;  // read, never written
};

inline constexpr std::array<Word<Firmware>, 4> kFirmwareWords{{{Firmware::kBios, "bios"},
                                                               {Firmware::kUefi, "uefi"},
                                                               {Firmware::kUefi, "efi", true},
                                                               {Firmware::kUnknown, "unknown"}}};
inline constexpr std::array<Word<OsHint>, 3> kOsHintWords{
    {{OsHint::kLinux, "linux"}, {OsHint::kWindows, "windows"}, {OsHint::kUnknown, "unknown"}}};
inline constexpr std::array<Word<SourceFormat>, 6> kSourceFormatWords{{{SourceFormat::kVmdk, "vmdk"},
                                                                       {SourceFormat::kQcow2, "qcow2"},
                                                                       {SourceFormat::kRaw, "raw"},
                                                                       {SourceFormat::kVhd, "vhd"},
                                                                       {SourceFormat::kVhdx, "vhdx"},
                                                                       {SourceFormat::kVdi, "vdi"}}};
inline constexpr std::array<Word<OutputFormat>, 3> kOutputFormatWords{
    {{OutputFormat::kQcow2, "qcow2"}, {OutputFormat::kRaw, "raw"}, {OutputFormat::kVdi, "vdi"}}};
// "zlib" is what qemu-img calls deflate.
inline constexpr std::array<Word<Compression>, 3> kCompressionWords{{{Compression::kDeflate, "deflate"},
                                                                     {Compression::kDeflate, "zlib", true},
                                                                     {Compression::kZstd, "zstd"}}};
inline constexpr std::array<Word<DiskType>, 3> kDiskTypeWords{
    {{DiskType::kBoot, "boot"}, {DiskType::kData, "data"}, {DiskType::kUnknown, "unknown"}}};
inline constexpr std::array<Word<FstabMode>, 3> kFstabModeWords{{{FstabMode::kStabilizeAll, "stabilize-all"},
                                                                 {FstabMode::kBypathOnly, "bypath-only"},
                                                                 {FstabMode::kNoop, "noop"}}};
inline constexpr std::array<Word<Severity>, 4> kSeverityWords{{{Severity::kDebug, "debug"},
                                                               {Severity::kInfo, "info"},
                                                               {Severity::kWarning, "warning"},
                                                               {Severity::kError, "error"}}};
inline constexpr std::array<Word<Event::Kind>, 5> kEventWords{{{Event::Kind::kStageStarted, "stage_started"},
                                                               {Event::Kind::kProgress, "progress"},
                                                               {Event::Kind::kStageEnded, "stage_ended"},
                                                               {Event::Kind::kMessage, "message"},
                                                               {Event::Kind::kResult, "result"}}};

template <class Enum, std::size_t size>
std::string_view word_of(const std::array<Word<Enum>, size>& words, Enum value) {
  for (const Word<Enum>& word : words)
    if (word.value == value && !word.alias) return word.word;
  return "unknown";
}

// "vmdk, qcow2, raw"
template <class Enum, std::size_t size>
std::string list_of(const std::array<Word<Enum>, size>& words) {
  std::string list;
  for (const Word<Enum>& word : words) {
    if (word.alias) continue;
    if (!list.empty()) list += ", ";
    list += word.word;
  }
  return list;
}

}  // namespace hyper2kvm::contract
