#include "runner/cli/hyperctl_text.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace hyper2kvm::cli {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string shown(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

// Characters, not bytes: a name may be any UTF-8.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

std::string state_of(const nlohmann::json& job, bool bars) {
  std::string phase = job.at("phase");
  if (job.contains("progress")) {
    const auto& progress = job.at("progress");
    std::string stage = progress.at("stage");
    double percent = progress.at("percent");
    std::string text = stage.empty() ? "starting" : stage;
    if (progress.at("total_bytes").get<std::uint64_t>() == 0) return text;
    return text + " " + (bars ? progress_bar(percent, 20) : fmt::format("{:.0f}%", percent));
  }
  if (job.contains("waits_for")) return phase + " (waits for " + job.at("waits_for").get<std::string>() + ")";
  return phase;
}

std::string note_of(const nlohmann::json& job) {
  std::string error = job.at("error");
  if (!error.empty()) return error;
  if (job.contains("progress") && job["progress"].contains("seconds_left"))
    return age(static_cast<std::int64_t>(job["progress"]["seconds_left"].get<double>())) + " left, " +
           size_text(static_cast<std::uint64_t>(job["progress"]["bytes_per_second"].get<double>())) + "/s";
  return job.at("output_path");
}

}  // namespace

std::string age(std::int64_t seconds) {
  seconds = std::max<std::int64_t>(seconds, 0);
  if (seconds >= 86400) return fmt::format("{}d{}h", seconds / 86400, seconds % 86400 / 3600);
  if (seconds >= 3600) return fmt::format("{}h{}m", seconds / 3600, seconds % 3600 / 60);
  if (seconds >= 60) return fmt::format("{}m{}s", seconds / 60, seconds % 60);
  return fmt::format("{}s", seconds);
}

std::string size_text(std::uint64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string progress_bar(double percent, std::size_t width) {
  percent = std::clamp(percent, 0.0, 100.0);
  auto full = static_cast<std::size_t>(percent / 100 * static_cast<double>(width));
  return fmt::format("[{}{}] {:3.0f}%", std::string(full, '#'), std::string(width - full, '.'), percent);
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += shown(row[i]);
      if (i + 1 < row.size()) text += std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text += '\n';
  }
  return text;
}

std::string one_word(const std::string& text) {
  std::string word;
  for (unsigned char c : text)
    word += c <= 0x20 || c == 0x7f || c == '\\' ? fmt::format("\\x{:02x}", c)
                                                : std::string(1, static_cast<char>(c));
  return word.empty() ? "-" : word;
}

bool matches(const std::string& name, const std::string& filter) {
  if (filter.empty()) return true;
  if (filter.find_first_of("*?[") != std::string::npos)
    return ::fnmatch(lower(filter).c_str(), lower(name).c_str(), 0) == 0;
  return lower(name).find(lower(filter)) != std::string::npos;
}

std::string jobs_table(const nlohmann::json& jobs, std::int64_t now, bool bars) {
  std::vector<std::vector<std::string>> rows{{"JOB", "MACHINE", "SIZE", "AGE", "TRIES", "STATE", "NOTE"}};
  for (const auto& job : jobs)
    rows.push_back({job.at("id"), job.at("result_name"), size_text(job.at("source_bytes")),
                    age(now - job.at("submitted").get<std::int64_t>()),
                    std::to_string(job.at("attempts").get<unsigned>()), state_of(job, bars), note_of(job)});
  return table(rows);
}

}  // namespace hyper2kvm::cli
