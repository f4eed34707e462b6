#include "runner/daemon/job.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

TEST(Job, IsReadBackAsItWasWritten) {
  Job job;
  job.id = make_job_id(1'769'903'999'123'456, 0x7f);
  job.phase = Phase::kPublishing;
  job.file = {1, 2, 3, 4};
  job.disks = {"/a", "/b"};
  job.failures = 2;
  job.register_begun = true;
  job.warnings = {"one"};
  job.output_path = "/out";
  Job read = job_from_json(to_json(job).dump(), "job.json");
  EXPECT_EQ(to_json(read), to_json(job));
}

TEST(Job, ADamagedStateIsRefused) {
  EXPECT_THROW(job_from_json("{", "job.json"), os::Error);
  EXPECT_THROW(job_from_json("{}", "job.json"), os::Error);
  nlohmann::json state = to_json(Job{});
  state["id"] = "../../x";
  EXPECT_THROW(job_from_json(state.dump(), "job.json"), os::Error);
}

TEST(JobId, SortsByTimeAndIsRecognised) {
  std::string id = make_job_id(1'769'903'999'123'456, 0x7f);
  EXPECT_EQ(id, "20260131-235959-123456-7f");
  EXPECT_TRUE(is_job_id(id));
  EXPECT_LT(id, make_job_id(1'769'903'999'123'457, 0));
  for (const char* other : {"", "..", "20260131-235959-123456-7", "20260131-235959-123456-7g"})
    EXPECT_FALSE(is_job_id(other)) << other;
}

}  // namespace
}  // namespace hyper2kvm::daemon
