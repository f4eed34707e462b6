// Terminal sequences are those of ECMA-48: CSI (ESC [ parameters final) and commands (ESC ] ... BEL or ESC
// \). A sequence that moves the cursor ends a line, because firmware and boot loaders paint their text so.
#include "runner/boot/console_watch.h"

#include <algorithm>
#include <array>

#include "runner/contract/text.h"

namespace hyper2kvm::boot {
namespace {

constexpr std::size_t kLongestSequence = 256;

struct Sign {
  enum class Place { kAnywhere, kLineStart } place;
  std::string_view text;
  Verdict verdict;
  std::string_view meaning;
};
constexpr Sign::Place kAnywhere = Sign::Place::kAnywhere, kLineStart = Sign::Place::kLineStart;

constexpr std::string_view kPanic = "its kernel panicked";
constexpr std::string_view kNoRoot = "it did not find its root file system";
constexpr std::string_view kEmergency = "it fell into emergency mode";
constexpr std::string_view kInitramfs = "it stopped in its initramfs";
constexpr std::string_view kLoader = "its boot loader found nothing to start";
constexpr std::string_view kFirmware = "its firmware found nothing to start";
constexpr std::string_view kTarget = "all services were started";

// The words of: systemd and its predecessors; Linux; initramfs-tools, dracut and mkinitcpio; GRUB 2 and
// legacy; the boot sectors of DOS, GRUB and Windows; SeaBIOS; OVMF.
constexpr std::array kSigns{
    Sign{kAnywhere, "Kernel panic - not syncing", Verdict::kFailed, kPanic},
    Sign{kAnywhere, "Gave up waiting for root", Verdict::kFailed, kNoRoot},
    Sign{kAnywhere, "does not exist.  Dropping to a shell", Verdict::kFailed, kNoRoot},
    Sign{kAnywhere, "Failed to mount '' on real root", Verdict::kFailed, kNoRoot},
    Sign{kAnywhere, "You are now being dropped into an emergency shell", Verdict::kFailed, kNoRoot},
    Sign{kAnywhere, "Entering emergency mode", Verdict::kFailed, kEmergency},
    Sign{kAnywhere, "You are in emergency mode", Verdict::kFailed, kEmergency},
    Sign{kAnywhere, "Welcome to emergency mode", Verdict::kFailed, kEmergency},
    Sign{kAnywhere, "Cannot open access to console, the root account is locked", Verdict::kFailed,
         kEmergency},
    Sign{kAnywhere, "Give root password for maintenance", Verdict::kFailed, kEmergency},
    Sign{kAnywhere, "Press Enter for maintenance", Verdict::kFailed, kEmergency},
    Sign{kLineStart, "(initramfs)", Verdict::kFailed, kInitramfs},
    Sign{kLineStart, "dracut:/#", Verdict::kFailed, kInitramfs},
    Sign{kLineStart, "[rootfs ", Verdict::kFailed, kInitramfs},
    Sign{kAnywhere, "Entering rescue mode...", Verdict::kFailed, kLoader},
    Sign{kLineStart, "grub rescue>", Verdict::kFailed, kLoader},
    Sign{kLineStart, "grub>", Verdict::kFailed, kLoader},
    Sign{kAnywhere, "Missing operating system", Verdict::kFailed, kLoader},
    Sign{kAnywhere, "Error loading operating system", Verdict::kFailed, kLoader},
    Sign{kAnywhere, "Invalid partition table", Verdict::kFailed, kLoader},
    Sign{kAnywhere, "No bootable device", Verdict::kFailed, kFirmware},
    Sign{kAnywhere, "No bootable option or device was found", Verdict::kFailed, kFirmware},
    Sign{kAnywhere, "UEFI Interactive Shell", Verdict::kFailed, kFirmware},
    Sign{kAnywhere, "Reached target Multi-User System", Verdict::kUp, kTarget},
    Sign{kAnywhere, "Reached target multi-user.target", Verdict::kUp, kTarget},
    Sign{kAnywhere, "Reached target Graphical Interface", Verdict::kUp, kTarget},
    Sign{kAnywhere, "Reached target graphical.target", Verdict::kUp, kTarget},
};

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// "web01 login:", also with something behind it; not "Last login: Mon".
bool is_login_prompt(std::string_view line) {
  std::size_t at = line.find(" login:");
  if (at == std::string_view::npos || at == 0) return false;
  std::string_view host = line.substr(0, at);
  while (!host.empty() && is_blank(host.front())) host.remove_prefix(1);
  return !host.empty() && host != "Last" && std::none_of(host.begin(), host.end(), is_blank);
}

// Whether a sequence with this last byte puts the cursor elsewhere.
bool moves_cursor(char final) { return final == 'H' || final == 'f' || final == 'J' || final == 'd'; }

std::string without_end_blanks(const std::string& line) {
  std::size_t end = line.find_last_not_of(" \t");
  return end == std::string::npos ? "" : line.substr(0, end + 1);
}

}  // namespace

void ConsoleWatch::feed(std::string_view bytes) {
  for (char c : bytes) take(c);
}

void ConsoleWatch::take(char c) {
  switch (state_) {
    case State::kEscape:
      state_ = c == '[' ? State::kSequence : c == ']' ? State::kCommand : State::kText;
      sequence_ = 0;
      return;
    case State::kSequence:
      if (c >= '@' && c <= '~') {
        state_ = State::kText;
        if (moves_cursor(c)) end_line();
      } else if (static_cast<unsigned char>(c) < 0x20 || ++sequence_ > kLongestSequence) {
        state_ = State::kText;
      }
      return;
    case State::kCommand:
      if (c == '\a' || c == '\n' || ++sequence_ > kLongestSequence)
        state_ = State::kText;
      else if (c == '\033')
        state_ = State::kCommandEscape;
      return;
    case State::kCommandEscape:
      state_ = State::kText;
      return;
    case State::kText:
      break;
  }
  if (c == '\033') {
    state_ = State::kEscape;
  } else if (c == '\n') {
    end_line();
  } else if (c == '\t') {
    line_ += ' ';
  } else if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
    line_ += c;
    said_anything_ = said_anything_ || !is_blank(c);
    look(false);
    if (line_.size() >= kLongestLine) end_line();
  }
}

void ConsoleWatch::end_line() {
  look(true);
  std::string line = contract::printable(without_end_blanks(line_), kLongestLine);
  line_.clear();
  // Firmware paints many empty lines.
  if (line.empty()) return;
  kept_ += line.size() + 1;
  lines_.push_back(std::move(line));
  while (kept_ > kTail) {
    kept_ -= lines_.front().size() + 1;
    lines_.pop_front();
  }
}

// Looks at the line so far: as each byte is looked at, a sign is seen when its last one comes.
void ConsoleWatch::look(bool is_whole) {
  if (verdict_ != Verdict::kUndecided || line_.empty()) return;
  if (!is_whole) {
    for (const Sign& sign : kSigns) {
      if (line_.back() != sign.text.back() || !line_.ends_with(sign.text)) continue;
      std::string_view before(line_);
      before.remove_suffix(sign.text.size());
      if (sign.place == kLineStart &&
          std::any_of(before.begin(), before.end(), [](char c) { return !is_blank(c); }))
        continue;
      verdict_ = sign.verdict;
      sign_ = sign.meaning;
      return;
    }
    if (line_.back() != ':' && line_.back() != ' ') return;
  }
  if (is_login_prompt(line_)) {
    verdict_ = Verdict::kUp;
    sign_ = "login prompt";
  }
}

std::string ConsoleWatch::tail() const {
  std::string text;
  for (const std::string& line : lines_) text += line + "\n";
  text += contract::printable(without_end_blanks(line_), kLongestLine);
  if (text.size() <= kTail) return text;
  std::size_t end_of_first = text.find('\n', text.size() - kTail);
  return end_of_first == std::string::npos ? text.substr(text.size() - kTail) : text.substr(end_of_first + 1);
}

std::string ConsoleWatch::last_words(std::size_t limit) const {
  std::string text;
  auto put_before = [&](const std::string& line) {
    if (line.empty()) return true;
    std::size_t more = line.size() + (text.empty() ? 0 : 3);
    if (text.size() + more > limit) return false;
    text = text.empty() ? line : line + " | " + text;
    return true;
  };
  std::string current = contract::printable(without_end_blanks(line_), std::max<std::size_t>(limit, 3));
  if (!put_before(current)) return text;
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line)
    if (!put_before(*line)) break;
  if (text.empty() && !lines_.empty())
    text = contract::shortened(lines_.back(), std::max<std::size_t>(limit, 3));
  return text;
}

}  // namespace hyper2kvm::boot
