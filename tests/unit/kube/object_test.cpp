#include "operator/kube/object.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

const Calendar kNoon = Calendar(std::chrono::seconds(1714564800));

Json pod() {
  return Json::parse(R"({
    "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
                 "labels": {"app": "x"}, "annotations": {"note": "y"},
                 "finalizers": ["one", "two"],
                 "ownerReferences": [{"kind": "Other", "name": "o", "uid": "1"},
                                     {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "2",
                                      "controller": true}],
                 "managedFields": [{"manager": "kubectl"}]}})");
}

TEST(Object, MetadataIsRead) {
  EXPECT_EQ(key_of(pod()), (ObjectKey{"n", "a"}));
  EXPECT_EQ(uid_of(pod()), "u");
  EXPECT_EQ(resource_version_of(pod()), "7");
  EXPECT_EQ(generation_of(pod()), 3);
  EXPECT_EQ(label_of(pod(), "app"), "x");
  EXPECT_EQ(annotation_of(pod(), "note"), "y");
  EXPECT_EQ(annotation_of(pod(), "none"), "");
}

TEST(Object, FieldsOfAWrongTypeReadAsEmpty) {
  for (const char* text :
       {"null", "[]", "7", "\"x\"", R"({"metadata":[]})", R"({"metadata":{"name":7}})",
        R"({"metadata":{"labels":"x","generation":"3","finalizers":{},"ownerReferences":7}})",
        R"({"metadata":{"finalizers":[7],"ownerReferences":["x"]},"status":{"conditions":{}}})"}) {
    Json strange = Json::parse(text);
    EXPECT_EQ(key_of(strange), ObjectKey()) << text;
    EXPECT_EQ(generation_of(strange), 0) << text;
    EXPECT_EQ(label_of(strange, "app"), "") << text;
    EXPECT_FALSE(has_finalizer(strange, "one")) << text;
    EXPECT_FALSE(controller_of(strange).has_value()) << text;
    EXPECT_TRUE(conditions_of(strange).empty()) << text;
    EXPECT_NO_THROW(remove_managed_fields(strange)) << text;
  }
}

TEST(Object, TheOwnerThatControlsIsFoundAmongOthers) {
  auto owner = controller_of(pod());
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->kind, "Job");
  EXPECT_EQ(owner->name, "j");
  EXPECT_EQ(owner->uid, "2");
}

TEST(Object, AChildOfAnOwnerIsFoundFromItsReference) {
  Json child = {{"metadata", {{"ownerReferences", {controller_reference(types::kPods, pod())}}}}};
  auto owner = controller_of(child);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->api_version, "v1");
  EXPECT_EQ(owner->kind, "Pod");
  EXPECT_EQ(owner->uid, "u");
}

TEST(Object, FinalizersAreAddedAndRemovedOnce) {
  Json object = pod();
  EXPECT_FALSE(add_finalizer(object, "one"));
  EXPECT_TRUE(add_finalizer(object, "three"));
  EXPECT_TRUE(remove_finalizer(object, "two"));
  EXPECT_FALSE(remove_finalizer(object, "two"));
  EXPECT_EQ(object["metadata"]["finalizers"], Json({"one", "three"}));
  Json bare = {{"metadata", {{"name", "b"}}}};
  EXPECT_TRUE(add_finalizer(bare, "one"));
  EXPECT_EQ(bare["metadata"]["finalizers"], Json::array({"one"}));
}

TEST(Object, ManagedFieldsAreRemovedAndNothingElse) {
  Json object = pod();
  remove_managed_fields(object);
  EXPECT_FALSE(object["metadata"].contains("managedFields"));
  EXPECT_EQ(object["metadata"].size(), pod()["metadata"].size() - 1);
}

TEST(Conditions, TheTimeChangesOnlyWithTheStatus) {
  std::vector<Condition> conditions;
  EXPECT_TRUE(set_condition(conditions, {"Ready", "False", "Waiting", "not yet", 1}, kNoon));
  EXPECT_FALSE(
      set_condition(conditions, {"Ready", "False", "Waiting", "not yet", 1}, kNoon + std::chrono::hours(1)));
  EXPECT_TRUE(
      set_condition(conditions, {"Ready", "False", "Copying", "half", 2}, kNoon + std::chrono::hours(2)));
  EXPECT_EQ(find_condition(conditions, "Ready")->last_transition_time, "2024-05-01T12:00:00Z");
  EXPECT_EQ(find_condition(conditions, "Ready")->reason, "Copying");
  EXPECT_TRUE(set_condition(conditions, {"Ready", "True", "Done", "", 2}, kNoon + std::chrono::hours(3)));
  EXPECT_EQ(find_condition(conditions, "Ready")->last_transition_time, "2024-05-01T15:00:00Z");
  EXPECT_EQ(conditions.size(), 1u);
  EXPECT_FALSE(find_condition(conditions, "Failed").has_value());
}

TEST(Conditions, AreReadAsTheyWereWritten) {
  std::vector<Condition> conditions;
  set_condition(conditions, {"Ready", "True", "Done", "all of it", 4}, kNoon);
  set_condition(conditions, {"Failed", "False", "Done", "", 4}, kNoon);
  EXPECT_EQ(conditions_of({{"status", {{"conditions", to_json(conditions)}}}}), conditions);
}

}  // namespace
}  // namespace hyper2kvm::kube
