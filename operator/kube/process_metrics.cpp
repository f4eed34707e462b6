#include "operator/kube/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sstream>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily single(const char* name, const char* help, MetricType type, double value) {
  prometheus::ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(std::move(metric));
  return family;
}

double open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  double count = -3;  // ".", ".." and the directory's own
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

// Seconds since 1970 at which the machine started.
double boot_time() {
  std::istringstream lines(os::read_text("/proc/stat", 16u << 20));
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("btime ", 0) == 0) return std::stod(line.substr(6));
  return 0;
}

// The fields of /proc/self/stat after the program's name, which may itself hold spaces and brackets. The
// first is field 3 of proc(5).
std::vector<double> stat_fields() {
  std::string text = os::read_text("/proc/self/stat", 4096);
  std::istringstream rest(text.substr(text.rfind(')') + 3));  // and the state, which is a letter
  std::vector<double> fields{0};
  for (double field; rest >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

std::vector<MetricFamily> process_metrics() {
  std::vector<MetricFamily> families;
  try {
    std::vector<double> fields = stat_fields();
    auto field = [&](std::size_t number) { return fields.at(number - 3); };
    auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    families.push_back(single("process_cpu_seconds_total", "User and system CPU time in seconds.",
                              MetricType::Counter, (field(14) + field(15)) / ticks));
    families.push_back(single("process_resident_memory_bytes", "Resident memory in bytes.", MetricType::Gauge,
                              field(24) * page));
    families.push_back(
        single("process_virtual_memory_bytes", "Virtual memory in bytes.", MetricType::Gauge, field(23)));
    families.push_back(single("process_start_time_seconds", "Start time since 1970 in seconds.",
                              MetricType::Gauge, boot_time() + field(22) / ticks));
    families.push_back(
        single("process_open_fds", "Open file descriptors.", MetricType::Gauge, open_descriptors()));
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
      families.push_back(single("process_max_fds", "Most file descriptors that may be open.",
                                MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  } catch (const std::exception&) {
    // A restricted /proc: what was read so far is told.
  }
  return families;
}

}  // namespace hyper2kvm::kube
