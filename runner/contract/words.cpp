#include "runner/contract/words.h"

namespace hyper2kvm::contract {

std::string_view to_string(Firmware value) { return word_of(kFirmwareWords, value); }
std::string_view to_string(OsHint value) { return word_of(kOsHintWords, value); }
std::string_view to_string(SourceFormat value) { return word_of(kSourceFormatWords, value); }
std::string_view to_string(OutputFormat value) { return word_of(kOutputFormatWords, value); }
std::string_view to_string(Compression value) { return word_of(kCompressionWords, value); }
std::string_view to_string(DiskType value) { return word_of(kDiskTypeWords, value); }
std::string_view to_string(FstabMode value) { return word_of(kFstabModeWords, value); }
std::string_view to_string(Severity value) { return word_of(kSeverityWords, value); }
std::string_view to_string(Event::Kind value) { return word_of(kEventWords, value); }

}  // namespace hyper2kvm::contract
