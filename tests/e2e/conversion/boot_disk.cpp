// boot_disk IMAGE FORMAT NAME: starts the converted demo guest on virtio hardware, logs in, and looks whether
// it is at home there. Ends with 0 where it is.
#include <iostream>

#include "runner/os/error.h"
#include "tests/integration/console.h"

int main(int count, char** words) {
  using namespace hyper2kvm;
  if (count != 4) {
    std::cerr << "usage: boot_disk IMAGE FORMAT NAME\n";
    return 2;
  }
  const std::string name = words[3];
  try {
    integration::Console console = integration::Console::start({.disks = {{words[1], words[2]}}});
    console.wait_for({name + " login: "});
    console.log_in("root", "root");
    const std::string root = console.run("findmnt -no SOURCE /").text;
    std::cout << name << " runs from " << root << "\n";
    return root.rfind("/dev/vda", 0) == 0 ? 0 : 1;
  } catch (const os::Error& error) {
    std::cerr << error.sentence() << "\n";
    return 1;
  }
}
