// The edge of this room: what libraries throw leaves it as an os::Error.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "runner/os/error.h"

namespace hyper2kvm::image {

template <typename Work>
auto at_edge(const std::string& subject, Work&& work) -> decltype(std::forward<Work>(work)()) {
  try {
    return std::forward<Work>(work)();
  } catch (const os::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw os::Error(os::ErrorKind::kSystem, subject, "there is not enough memory to read or write it",
                    "Give hyper2kvm more memory, or run fewer conversions at once.");
  } catch (const std::exception& error) {
    throw os::Error(os::ErrorKind::kInternal, subject, std::string("unexpected failure: ") + error.what());
  }
}

}  // namespace hyper2kvm::image
