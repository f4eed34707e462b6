#include "runner/guest/text_diff.h"

#include <algorithm>
#include <vector>

namespace hyper2kvm::guest {
namespace {

// The trace of the search takes a square of this many numbers.
constexpr int kMostDifferences = 800;
constexpr std::size_t kContext = 3;

using Lines = std::vector<std::string_view>;

// Each line keeps its newline, so that a missing one at the end is a difference.
Lines split(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    end = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

enum class Step : char { kKeep, kRemove, kAdd };

// The shortest edit script from a to b.
std::vector<Step> compare(const Lines& a, const Lines& b) {
  const int n = static_cast<int>(a.size());
  const int m = static_cast<int>(b.size());
  const int most = std::min(n + m, kMostDifferences);
  // furthest[k] is the furthest x on diagonal k = x - y that d differences reach.
  std::vector<int> furthest(2 * static_cast<std::size_t>(most) + 3, 0);
  auto at = [most](int k) { return static_cast<std::size_t>(k + most + 1); };
  std::vector<std::vector<int>> trace;  // furthest[-d..d] as it was before each round
  int reached = -1;
  for (int d = 0; d <= most && reached < 0; ++d) {
    trace.emplace_back(furthest.begin() + static_cast<long>(at(-d)) - 1,
                       furthest.begin() + static_cast<long>(at(d)) + 2);
    for (int k = -d; k <= d; k += 2) {
      bool down = k == -d || (k != d && furthest[at(k - 1)] < furthest[at(k + 1)]);
      int x = down ? furthest[at(k + 1)] : furthest[at(k - 1)] + 1;
      int y = x - k;
      while (x < n && y < m && a[static_cast<std::size_t>(x)] == b[static_cast<std::size_t>(y)]) ++x, ++y;
      furthest[at(k)] = x;
      if (x >= n && y >= m) {
        reached = d;
        break;
      }
    }
  }
  std::vector<Step> steps;
  if (reached < 0) {
    steps.assign(a.size(), Step::kRemove);
    steps.insert(steps.end(), b.size(), Step::kAdd);
    return steps;
  }
  int x = n;
  int y = m;
  for (int d = reached; d > 0; --d) {
    const std::vector<int>& before = trace[static_cast<std::size_t>(d)];
    auto was = [&before, d](int k) { return before[static_cast<std::size_t>(k + d + 1)]; };
    int k = x - y;
    bool down = k == -d || (k != d && was(k - 1) < was(k + 1));
    int previous_k = down ? k + 1 : k - 1;
    int previous_x = was(previous_k);
    int previous_y = previous_x - previous_k;
    while (x > previous_x && y > previous_y) {
      steps.push_back(Step::kKeep);
      --x, --y;
    }
    steps.push_back(down ? Step::kAdd : Step::kRemove);
    x = previous_x;
    y = previous_y;
  }
  steps.insert(steps.end(), static_cast<std::size_t>(x), Step::kKeep);
  std::reverse(steps.begin(), steps.end());
  return steps;
}

void put_line(std::string& out, char mark, std::string_view line) {
  out += mark;
  out += line;
  if (!line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
}

std::string range(std::size_t first, std::size_t count) {
  // An empty range is counted from the line before it.
  std::size_t shown = count == 0 ? first : first + 1;
  return std::to_string(shown) + (count == 1 ? "" : "," + std::to_string(count));
}

}  // namespace

std::string unified_diff(std::string_view path, std::string_view before, std::string_view after, bool existed,
                         bool exists, std::size_t limit) {
  if (before == after && existed == exists) return "";
  Lines a = split(before);
  Lines b = split(after);
  std::size_t head = 0;
  while (head < a.size() && head < b.size() && a[head] == b[head]) ++head;
  std::size_t tail = 0;
  while (tail < a.size() - head && tail < b.size() - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail])
    ++tail;
  std::vector<Step> steps(head, Step::kKeep);
  std::vector<Step> middle =
      compare(Lines(a.begin() + static_cast<long>(head), a.end() - static_cast<long>(tail)),
              Lines(b.begin() + static_cast<long>(head), b.end() - static_cast<long>(tail)));
  steps.insert(steps.end(), middle.begin(), middle.end());
  steps.insert(steps.end(), tail, Step::kKeep);

  std::string out = "--- " + (existed ? "a" + std::string(path) : "/dev/null") + "\n+++ " +
                    (exists ? "b" + std::string(path) : "/dev/null") + "\n";
  std::size_t in_a = 0;
  std::size_t in_b = 0;
  std::size_t step = 0;
  while (step < steps.size()) {
    if (steps[step] == Step::kKeep) {
      ++step, ++in_a, ++in_b;
      continue;
    }
    // A hunk: from kContext lines before the first difference to kContext lines after the last one that has
    // no more than twice the context between itself and its predecessor.
    std::size_t lead = std::min({kContext, in_a, in_b});
    std::size_t end = step;
    std::size_t kept = 0;
    for (std::size_t look = step; look < steps.size() && kept <= 2 * kContext; ++look) {
      if (steps[look] == Step::kKeep) {
        ++kept;
      } else {
        kept = 0;
        end = look + 1;
      }
    }
    std::size_t follow = 0;
    while (follow < kContext && end + follow < steps.size()) ++follow;
    std::string body;
    std::size_t first_a = in_a - lead;
    std::size_t first_b = in_b - lead;
    for (std::size_t line = first_a; line < in_a; ++line) put_line(body, ' ', a[line]);
    for (; step < end + follow; ++step) {
      switch (steps[step]) {
        case Step::kKeep:
          put_line(body, ' ', a[in_a]);
          ++in_a, ++in_b;
          break;
        case Step::kRemove:
          put_line(body, '-', a[in_a++]);
          break;
        case Step::kAdd:
          put_line(body, '+', b[in_b++]);
          break;
      }
    }
    out += "@@ -" + range(first_a, in_a - first_a) + " +" + range(first_b, in_b - first_b) + " @@\n" + body;
    if (out.size() > limit) {
      std::size_t cut = out.rfind('\n', limit);
      out.resize(cut == std::string::npos ? 0 : cut + 1);
      out += "(the rest of this diff is left out: it is too long)\n";
      break;
    }
  }
  return out;
}

}  // namespace hyper2kvm::guest
