#include "runner/appliance/agent/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::appliance::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ModuleIndex index_of_a_few() {
  return ModuleIndex::parse(
      "kernel/fs/fat/fat.ko:\n"
      "kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko\n"
      "kernel/drivers/md/dm-mod.ko:\n"
      "kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko\n"
      "kernel/drivers/md/persistent-data/dm-persistent-data.ko: kernel/drivers/md/dm-bufio.ko "
      "kernel/drivers/md/dm-mod.ko\n"
      "kernel/drivers/md/dm-thin-pool.ko: kernel/drivers/md/persistent-data/dm-persistent-data.ko "
      "kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko\n"
      "kernel/crypto/ecb.ko:\n"
      "kernel/crypto/xts.ko:\n"
      "kernel/a.ko:\nkernel/b.ko:\n",
      "# a comment\n"
      "alias fs-vfat vfat\n"
      "alias crypto-xts xts\n"
      "alias crypto-sha256-generic sha256_generic\n"
      "alias virtio:d00000002v* virtio_blk\n"
      "alias dm-thin dm_thin_pool\n",
      "softdep xts pre: ecb\n"
      "softdep a pre: b post: fat\n"
      "softdep b pre: a\n",
      "kernel/fs/ext4/ext4.ko\nkernel/crypto/sha256_generic.ko\nkernel/lib/raid6/raid6_pq.ko\n");
}

TEST(Modules, AreNamedWithUnderscores) {
  EXPECT_EQ(module_name("kernel/drivers/md/dm-mod.ko"), "dm_mod");
  EXPECT_EQ(module_name("nls_iso8859-1"), "nls_iso8859_1");
}

TEST(Modules, WhatIsNeededComesFirst) {
  auto plan = index_of_a_few().plan("dm-thin-pool");
  EXPECT_TRUE(plan.known);
  EXPECT_THAT(plan.paths, ElementsAre("kernel/drivers/md/dm-mod.ko", "kernel/drivers/md/dm-bufio.ko",
                                      "kernel/drivers/md/persistent-data/dm-persistent-data.ko",
                                      "kernel/drivers/md/dm-thin-pool.ko"));
}

TEST(Modules, AnAliasOfTheKernelIsFound) {
  EXPECT_THAT(index_of_a_few().plan("fs-vfat").paths,
              ElementsAre("kernel/fs/fat/fat.ko", "kernel/fs/fat/vfat.ko"));
}

TEST(Modules, AWildcardInAnAliasCounts) {
  EXPECT_TRUE(index_of_a_few().plan("virtio:d00000002v00000000").known);
  EXPECT_FALSE(index_of_a_few().plan("virtio:d00000003v00000000").known);
}

TEST(Modules, ASoftDependencyIsLoadedToo) {
  EXPECT_THAT(index_of_a_few().plan("crypto-xts").paths,
              ElementsAre("kernel/crypto/ecb.ko", "kernel/crypto/xts.ko"));
}

TEST(Modules, SoftDependenciesInACircleEnd) {
  EXPECT_THAT(index_of_a_few().plan("a").paths,
              ElementsAre("kernel/b.ko", "kernel/a.ko", "kernel/fs/fat/fat.ko"));
}

TEST(Modules, WhatIsBuiltInNeedsNothing) {
  auto plan = index_of_a_few().plan("ext4");
  EXPECT_TRUE(plan.known);
  EXPECT_THAT(plan.paths, IsEmpty());
  EXPECT_TRUE(index_of_a_few().plan("crypto-sha256-generic").known);
}

TEST(Modules, AnUnknownNameIsUnknown) { EXPECT_FALSE(index_of_a_few().plan("net-pf-10").known); }

TEST(Modules, BrokenLinesAreLeftOut) {
  auto index = ModuleIndex::parse("no colon here\n\nkernel/x.ko:\n", "alias\nalias a\n", "softdep x\n", "\n");
  EXPECT_THAT(index.plan("x").paths, ElementsAre("kernel/x.ko"));
}

TEST(Modules, ThoseOfRaid6AreToldByAnyOfTheirNames) {
  for (const char* name : {"raid456", "raid6_pq", "dm-raid", "md-level-6", "md-raid5"})
    EXPECT_TRUE(needs_raid6(name)) << name;
  for (const char* name : {"raid1", "raid10", "dm-mod", "md-mod", "md-level-1"})
    EXPECT_FALSE(needs_raid6(name)) << name;
}

}  // namespace
}  // namespace hyper2kvm::appliance::agent
