#include "runner/libvirt/uri.h"

#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

TEST(ConnectionUri, OfThisMachineIsLocal) {
  for (const char* text : {"qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/x.sock",
                           "qemu:///embed?root=/var/lib/x"})
    EXPECT_TRUE(parse_uri(text).is_local()) << text;
}

TEST(ConnectionUri, OfAnotherMachineIsNot) {
  for (const char* text : {"qemu+ssh://root@host/system", "qemu+tls://host.example.org:16515/system",
                           "qemu+tcp://[fe80::1]:16509/system", "qemu+ssh:///system", "qemu+tls:///system",
                           "qemu+libssh://host/session?keyfile=/k"})
    EXPECT_FALSE(parse_uri(text).is_local()) << text;
}

TEST(ConnectionUri, KnowsHostTransportAndPath) {
  ConnectionUri uri = parse_uri("qemu+tcp://user:secret@[fe80::1]:16509/system?x=1#y");
  EXPECT_EQ(uri.driver, "qemu");
  EXPECT_EQ(uri.transport, "tcp");
  EXPECT_EQ(uri.host, "fe80::1");
  EXPECT_EQ(uri.path, "/system");
  EXPECT_EQ(parse_uri("qemu+ssh://root@host:22/system").host, "host");
}

TEST(ConnectionUri, TheEmbeddedDriverHasARoot) {
  ConnectionUri uri = parse_uri("qemu:///embed?x=1&root=/tmp/a%20b");
  EXPECT_TRUE(uri.is_embedded());
  EXPECT_EQ(uri.embedded_root, "/tmp/a b");
  EXPECT_THROW(parse_uri("qemu:///embed"), os::Error);
  EXPECT_THROW(parse_uri("qemu:///embed?root=relative"), os::Error);
}

TEST(ConnectionUri, OtherDriversAndPlacesAreRefused) {
  for (const char* text : {"", "system", "xen:///system", "test:///default", "lxc:///", "qemu:///",
                           "qemu://host/other", "qemu+tcp://[fe80::1/system", "qemu:///sys\ntem"})
    EXPECT_THROW(parse_uri(text), os::Error) << text;
}

TEST(ConnectionUri, ThatRunsAProgramOfItsChoiceIsRefused) {
  for (const char* text : {"qemu+ext:///system?command=/tmp/evil", "qemu+ssh://h/system?command=/tmp/evil",
                           "qemu+ssh://h/system?x=1;%63ommand=/tmp/evil", "qemu+ssh://h/system?netcat=evil"})
    EXPECT_THROW(parse_uri(text), os::Error) << text;
}

TEST(ConnectionUri, ParametersAreFoundAndAdded) {
  EXPECT_TRUE(parse_uri("qemu+ssh://h/system?no_tty=1").has_parameter("no_tty"));
  EXPECT_FALSE(parse_uri("qemu+ssh://h/system").has_parameter("no_tty"));
  EXPECT_EQ(with_parameter("qemu+ssh://h/system", "no_tty", "1"), "qemu+ssh://h/system?no_tty=1");
  EXPECT_EQ(with_parameter("qemu+ssh://h/system?a=b#c", "no_tty", "1"), "qemu+ssh://h/system?a=b&no_tty=1#c");
  EXPECT_EQ(with_parameter("qemu+ssh://h/system", "command", "/tmp/a&b=c%d e"),
            "qemu+ssh://h/system?command=/tmp/a%26b%3Dc%25d%20e");
  EXPECT_EQ(parse_uri("qemu+ssh://h/system?keyfile=/a%20b&x=1;keyfile=/c%20d").parameter("keyfile"), "/c d");
  EXPECT_EQ(parse_uri("qemu+ssh://h/system?keyfile").parameter("keyfile"), "");
}

TEST(ConnectionUri, ParametersAreTakenAway) {
  EXPECT_EQ(without_parameters("qemu+ssh://h/system?a=1&%6beyfile=/x;b=2#c", {"keyfile"}),
            "qemu+ssh://h/system?a=1&b=2#c");
  EXPECT_EQ(without_parameters("qemu+ssh://h/system?a=1&b=2", {"a", "b"}), "qemu+ssh://h/system");
  EXPECT_EQ(without_parameters("qemu+ssh://h/system", {"a"}), "qemu+ssh://h/system");
}

}  // namespace
}  // namespace hyper2kvm::libvirt
