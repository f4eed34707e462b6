# `cpack` in a build folder makes hyper2kvm_VERSION_ARCH.deb of what `cmake --install` installs, below /usr. The maintainer scripts
# are in systemd/debian.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME hyper2kvm)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "hyper2kvm maintainers <hyper2kvm@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "convert virtual machines of other hypervisors to KVM")
set(CPACK_PACKAGE_DESCRIPTION "Disk images that were exported from VMware and other hypervisors are converted, their guests are
repaired so that they start on virtio, and the machines are registered with libvirt. A command line
and a daemon for systemd that watches a queue.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
# Libraries by their symbols; programs by name: qemu-img and qemu-storage-daemon, systemd-sysusers.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "qemu-utils, qemu-system-common, systemd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libvirt-daemon-system, libvirt-clients")
# What starts a converted machine once, where that is asked for.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-system-x86, ovmf, openssh-client, default-mta | mail-transport-agent")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${CMAKE_SOURCE_DIR}/systemd/debian/postinst;${CMAKE_SOURCE_DIR}/systemd/debian/prerm;${CMAKE_SOURCE_DIR}/systemd/debian/postrm")
include(CPack)
