#include "tests/integration/small_guests.h"

#include <array>
#include <cstring>
#include <vector>

#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;

void put(std::string& image, std::size_t offset, std::uint64_t value, std::size_t bytes) {
  for (std::size_t index = 0; index < bytes; ++index)
    image[offset + index] = static_cast<char>(value >> (8 * index) & 0xff);
}

template <std::size_t Size>
void put(std::string& image, std::size_t offset, const std::array<std::uint8_t, Size>& bytes) {
  std::memcpy(image.data() + offset, bytes.data(), Size);
}

// A PE32+ file for UEFI (Microsoft's PE format, UEFI specification 2.1.1): one section at 0x1000.
std::string efi_program(const std::string& text) {
  constexpr std::array<std::uint8_t, 0x26> kCode = {
      0x48, 0x83, 0xec, 0x28,                    // sub rsp, 0x28
      0x48, 0x89, 0xd3,                          // mov rbx, rdx          the system table
      0x48, 0x8b, 0x4b, 0x40,                    // mov rcx, [rbx+0x40]   its console
      0x48, 0x8d, 0x15, 0x14, 0x00, 0x00, 0x00,  // lea rdx, [the text]
      0xff, 0x51, 0x08,                          // call [rcx+8]          OutputString
      0x48, 0x8b, 0x43, 0x60,                    // mov rax, [rbx+0x60]   its boot services
      0xb9, 0x20, 0xa1, 0x07, 0x00,              // mov ecx, 500000
      0xff, 0x90, 0xf8, 0x00, 0x00, 0x00,        // call [rax+0xf8]       Stall
      0xeb, 0xe1,                                // jmp to the third line
  };
  std::string file(0x400, '\0');
  std::memcpy(file.data(), "MZ", 2);
  put(file, 0x3c, 0x40, 4);
  std::memcpy(file.data() + 0x40, "PE\0\0", 4);
  put(file, 0x44, 0x8664, 2);  // x86-64
  put(file, 0x46, 1, 2);       // sections
  put(file, 0x54, 0xf0, 2);    // size of the optional header
  put(file, 0x56, 0x22, 2);    // executable, large addresses
  constexpr std::size_t kOptional = 0x58;
  put(file, kOptional, 0x20b, 2);
  put(file, kOptional + 4, 0x200, 4);    // size of code
  put(file, kOptional + 16, 0x1000, 4);  // entry point
  put(file, kOptional + 20, 0x1000, 4);  // base of code
  put(file, kOptional + 32, 0x1000, 4);  // section alignment
  put(file, kOptional + 36, 0x200, 4);   // file alignment
  put(file, kOptional + 56, 0x2000, 4);  // size of image
  put(file, kOptional + 60, 0x200, 4);   // size of headers
  put(file, kOptional + 68, 10, 2);      // an EFI application
  put(file, kOptional + 108, 16, 4);     // data directories, all empty
  constexpr std::size_t kSection = kOptional + 0xf0;
  std::memcpy(file.data() + kSection, ".text", 5);
  put(file, kSection + 8, 0x200, 4);
  put(file, kSection + 12, 0x1000, 4);
  put(file, kSection + 16, 0x200, 4);
  put(file, kSection + 20, 0x200, 4);
  put(file, kSection + 36, 0x60000020, 4);  // code, executable, readable
  put(file, 0x200, kCode);
  std::size_t offset = 0x200 + kCode.size();
  for (char c : text + "\r\n") {
    put(file, offset, static_cast<unsigned char>(c), 2);
    offset += 2;
  }
  return file;
}

}  // namespace

void make_bios_disk(const fs::path& path, const std::string& text, std::uint64_t size) {
  constexpr std::array<std::uint8_t, 0x1e> kCode = {
      0xfa, 0x31, 0xc0, 0x8e, 0xd8,  // cli; ds = 0
      0xbe, 0x1e, 0x7c,              // si = the text
      0xac, 0x84, 0xc0, 0x74, 0xf8,  // next byte; at its end start again
      0x88, 0xc4, 0xba, 0xfd, 0x03,  // keep it; dx = line status of the port
      0xec, 0xa8, 0x20, 0x74, 0xfb,  // wait until it takes a byte
      0xb2, 0xf8, 0x88, 0xe0, 0xee,  // send it
      0xeb, 0xea,
  };
  std::string sector(512, '\0');
  put(sector, 0, kCode);
  std::string line = text + "\r\n";
  std::memcpy(sector.data() + kCode.size(), line.data(), line.size());
  put(sector, 510, 0xaa55, 2);
  os::write_text_atomically(path, sector);
  fs::resize_file(path, size);
}

void make_uefi_disk(const fs::path& path, const std::string& text) {
  os::TemporaryDirectory scratch("efi-disk");
  fs::path tree = scratch.path() / "tree";
  os::make_directories(tree / "EFI" / "BOOT");
  os::write_text_atomically(tree / "EFI" / "BOOT" / "BOOTX64.EFI", efi_program(text));
  // QEMU's own view of a directory as a FAT disk, copied.
  os::run_program({.arguments = {"qemu-img", "convert", "-f", "vvfat", "fat:" + tree.string(), "-O", "qcow2",
                                 path.string()}});
}

}  // namespace hyper2kvm::integration
