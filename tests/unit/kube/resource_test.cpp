#include "operator/kube/resource.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/kube/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::kube {
namespace {

const ResourceType kNodes{"", "v1", "nodes", "Node", false};

TEST(Resource, PathsOfTheCoreGroupStartWithApi) {
  EXPECT_EQ(collection_path(types::kPods, "default"), "/api/v1/namespaces/default/pods");
  EXPECT_EQ(object_path(types::kPods, {"default", "a"}), "/api/v1/namespaces/default/pods/a");
}

TEST(Resource, PathsOfOtherGroupsStartWithApis) {
  EXPECT_EQ(collection_path(types::kJobs, "n"), "/apis/batch/v1/namespaces/n/jobs");
  EXPECT_EQ(object_path(types::kJobs, {"n", "a"}, "status"), "/apis/batch/v1/namespaces/n/jobs/a/status");
}

TEST(Resource, NoNamespaceMeansAllOfThem) {
  EXPECT_EQ(collection_path(types::kJobs, ""), "/apis/batch/v1/jobs");
}

TEST(Resource, KindsOfTheClusterHaveNoNamespaceInTheirPaths) {
  EXPECT_EQ(object_path(kNodes, {"", "node1"}), "/api/v1/nodes/node1");
  EXPECT_EQ(object_path(kNodes, {"ignored", "node1"}), "/api/v1/nodes/node1");
}

TEST(Resource, ANameCannotLeaveItsPlaceInThePath) {
  EXPECT_EQ(object_path(types::kPods, {"n", "a/../b?x=1#%"}),
            "/api/v1/namespaces/n/pods/a%2F..%2Fb%3Fx%3D1%23%25");
  for (const char* name : {"", ".", ".."}) {
    EXPECT_THROW(object_path(types::kPods, {"n", name}), os::Error) << name;
    EXPECT_THROW(object_path(types::kPods, {name, "a"}), os::Error) << name;
  }
}

TEST(Resource, NamesForPeople) {
  EXPECT_EQ(types::kJobs.qualified_name(), "jobs.batch");
  EXPECT_EQ(types::kPods.qualified_name(), "pods");
  EXPECT_EQ(types::kJobs.api_version(), "batch/v1");
  EXPECT_EQ(types::kPods.api_version(), "v1");
  EXPECT_EQ((ObjectKey{"n", "a"}.to_string()), "n/a");
  EXPECT_EQ((ObjectKey{"", "a"}.to_string()), "a");
}

TEST(Text, IsCutBetweenCharacters) {
  EXPECT_EQ(cut("abc", 5), "abc");
  EXPECT_EQ(cut("abc", 2), "ab");
  EXPECT_EQ(cut("aäb", 2), "a");  // ä is two bytes
  EXPECT_EQ(cut("aäb", 3), "aä");
  EXPECT_EQ(cut("€€", 5), "€");  // three each
  EXPECT_EQ(cut("€", 0), "");
}

TEST(Text, JsonOfAnyBytesIsPrintable) {
  EXPECT_EQ(to_text(nlohmann::json("a\xff"
                                   "b\n")),
            "\"a\xef\xbf\xbd"
            "b\\n\"");
}

TEST(Text, RandomTextIsDifferentEachTime) {
  EXPECT_EQ(random_hex(8).size(), 16u);
  EXPECT_NE(random_hex(8), random_hex(8));
}

}  // namespace
}  // namespace hyper2kvm::kube
