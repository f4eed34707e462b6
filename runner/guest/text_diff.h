// Unified diffs of small text files, for the report.
//
// Myers' O(ND) algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986) on lines, bounded: beyond
// kMostDifferences the differing middle is shown as removed and added as a whole, which is still a correct
// diff.
#pragma once

#include <string>
#include <string_view>

namespace hyper2kvm::guest {

// What `diff -u` prints, with "a" + path and "b" + path as names (and /dev/null where a side is absent) and
// no times. "" when the texts are equal. Three lines of context. The diff is cut at a line, with a note, when
// it is longer than limit bytes.
std::string unified_diff(std::string_view path, std::string_view before, std::string_view after,
                         bool existed = true, bool exists = true, std::size_t limit = std::size_t{256} << 10);

}  // namespace hyper2kvm::guest
