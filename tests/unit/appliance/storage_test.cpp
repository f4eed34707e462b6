#include "runner/appliance/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "runner/os/error.h"

namespace hyper2kvm::appliance {
namespace {

using nlohmann::json;
using testing::ElementsAre;

DiskSource source(const std::string& name, const std::string& overlay) {
  return {.node_name = name, .blockdevs = {json{{"node-name", name}}.dump()}, .overlay = overlay};
}

TEST(StorageArguments, PutAnOverlayOnTheSourceAndExportIt) {
  auto arguments = storage_arguments({source("disk0", "/scratch/a \"b\".qcow2")}, 10);
  ASSERT_EQ(arguments.size(), 7u);
  EXPECT_EQ(arguments[0], "qemu-storage-daemon");
  EXPECT_EQ(arguments[1], "--blockdev");
  EXPECT_EQ(arguments[2], R"({"node-name":"disk0"})");
  json overlay = json::parse(arguments[4]);
  EXPECT_EQ(overlay["driver"], "qcow2");
  EXPECT_EQ(overlay["backing"], "disk0");
  EXPECT_EQ(overlay["file"]["filename"], "/scratch/a \"b\".qcow2");
  EXPECT_EQ(overlay["discard"], "unmap");
  EXPECT_EQ(overlay["file"]["discard"], "unmap");
  json exported = json::parse(arguments[6]);
  EXPECT_EQ(exported["type"], "vhost-user-blk");
  EXPECT_EQ(exported["node-name"], overlay["node-name"]);
  EXPECT_EQ(exported["writable"], true);
  EXPECT_EQ(exported["addr"]["type"], "fd");
  EXPECT_EQ(exported["addr"]["str"], "10");
}

TEST(StorageArguments, WithoutAnOverlayTheSourceIsExportedReadOnly) {
  auto arguments = storage_arguments({source("disk0", "")}, 10);
  ASSERT_EQ(arguments.size(), 5u);
  json exported = json::parse(arguments[4]);
  EXPECT_EQ(exported["node-name"], "disk0");
  EXPECT_EQ(exported["writable"], false);
}

TEST(StorageArguments, EveryDiskHasItsOwnNodesAndSocket) {
  auto arguments = storage_arguments({source("a", "/0"), source("b", "/1")}, 10);
  json first = json::parse(arguments[6]);
  json second = json::parse(arguments[12]);
  EXPECT_NE(first["id"], second["id"]);
  EXPECT_NE(first["node-name"], second["node-name"]);
  EXPECT_EQ(first["addr"]["str"], "10");
  EXPECT_EQ(second["addr"]["str"], "11");
}

TEST(ListenAt, WorksBelowADirectoryWithALongName) {
  os::TemporaryDirectory top("storage-test");
  std::filesystem::path directory = top.path() / std::string(200, 'x');
  os::make_directories(directory);
  os::UniqueFd listener = listen_at(directory, "disk0.sock");
  EXPECT_TRUE(std::filesystem::is_socket(directory / "disk0.sock"));
  int listening = 0;
  socklen_t size = sizeof listening;
  ASSERT_EQ(::getsockopt(listener.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), 0);
  EXPECT_EQ(listening, 1);
}

TEST(ListenAt, AMissingDirectoryIsNamed) {
  EXPECT_THROW(listen_at("/no/such/directory", "x.sock"), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::appliance
