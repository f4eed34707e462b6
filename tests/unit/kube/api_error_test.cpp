#include "operator/kube/api_error.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

ApiError error_of(int code, const std::string& reason) {
  return ApiError("create", "jobs.batch default/a", {code, reason, "because", std::nullopt});
}

TEST(ApiError, IsASentenceWithTheServersMessage) {
  ApiStatus status = ApiStatus::from_body(
      409,
      R"({"kind":"Status","reason":"AlreadyExists","message":"jobs.batch \"a\" already exists","code":409})");
  ApiError error("create", "jobs.batch default/a", status);
  EXPECT_EQ(error.sentence(),
            "jobs.batch default/a: cannot create: jobs.batch \"a\" already exists (AlreadyExists, 409)");
}

TEST(ApiError, AForbiddenRequestSaysWhichRightIsMissing) {
  ApiError error("watch", "jobs.batch", {403, "Forbidden", "no", std::nullopt});
  EXPECT_EQ(error.advice(),
            "Bind a Role with the verb \"watch\" on jobs.batch to the account that this program "
            "runs as.");
}

TEST(ApiError, TheTwoMeaningsOf409AreToldApart) {
  EXPECT_TRUE(error_of(409, "AlreadyExists").is_already_exists());
  EXPECT_FALSE(error_of(409, "AlreadyExists").is_conflict());
  EXPECT_TRUE(error_of(409, "Conflict").is_conflict());
  EXPECT_FALSE(error_of(409, "Conflict").is_already_exists());
}

TEST(ApiError, SaysWhetherWaitingHelps) {
  struct {
    int code;
    const char* reason;
    bool may_pass;
  } cases[] = {{400, "BadRequest", false},   {401, "Unauthorized", true},      {403, "Forbidden", false},
               {404, "NotFound", false},     {409, "Conflict", true},          {409, "AlreadyExists", false},
               {410, "Expired", true},       {422, "Invalid", false},          {429, "TooManyRequests", true},
               {500, "InternalError", true}, {503, "ServiceUnavailable", true}};
  for (const auto& one : cases)
    EXPECT_EQ(error_of(one.code, one.reason).may_pass(), one.may_pass) << one.code;
}

TEST(ApiError, ExpiredAndGoneAreTheSame) {
  EXPECT_TRUE(error_of(410, "Gone").is_gone());
  EXPECT_TRUE(error_of(410, "Expired").is_gone());
  EXPECT_FALSE(error_of(404, "NotFound").is_gone());
}

TEST(ApiStatus, ABodyThatIsNoStatusLeavesTheCode) {
  ApiStatus page = ApiStatus::from_body(502, "<html>" + std::string(100000, 'x') + "</html>");
  EXPECT_EQ(page.code, 502);
  EXPECT_EQ(page.message, "");
  ApiStatus plain = ApiStatus::from_body(404, "404 page not found\n");
  EXPECT_EQ(plain.reason, "NotFound");
  EXPECT_EQ(plain.message, "404 page not found");
  EXPECT_EQ(ApiStatus::from_body(403, "").reason, "Forbidden");
}

TEST(ApiStatus, AHugeMessageIsCut) {
  Json status = {{"kind", "Status"}, {"message", std::string(1 << 20, 'x')}, {"code", 500}};
  EXPECT_LE(ApiStatus::from_body(500, status.dump()).message.size(), 4096u);
}

TEST(ApiStatus, FieldsOfWrongTypesAreIgnored) {
  ApiStatus status =
      ApiStatus::from_body(500, R"({"kind":"Status","code":"x","reason":7,"message":[],"details":3})");
  EXPECT_EQ(status.code, 500);
  EXPECT_EQ(status.reason, "InternalError");
  EXPECT_EQ(ApiStatus::from_json({{"code", 99999999999}}).code, 999);
}

TEST(ApiStatus, TheDetailsMaySayWhenToRetry) {
  ApiStatus status = ApiStatus::from_body(
      429, R"({"kind":"Status","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":3}})");
  EXPECT_EQ(status.retry_after, std::chrono::seconds(3));
}

}  // namespace
}  // namespace hyper2kvm::kube
