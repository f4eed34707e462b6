// Numbers in image headers: fixed width, little or big endian, at any alignment.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace hyper2kvm::image {

static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);

template <std::unsigned_integral T>
constexpr T swap_bytes(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(value));
}

// at + sizeof(T) must lie inside bytes: the caller has checked the size of the header once.
template <std::unsigned_integral T>
T load_little(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return std::endian::native == std::endian::little ? value : swap_bytes(value);
}

template <std::unsigned_integral T>
T load_big(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return std::endian::native == std::endian::big ? value : swap_bytes(value);
}

template <std::unsigned_integral T>
void store_little(std::span<std::byte> bytes, std::size_t at, T value) {
  if constexpr (std::endian::native == std::endian::big) value = swap_bytes(value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <std::unsigned_integral T>
void store_big(std::span<std::byte> bytes, std::size_t at, T value) {
  if constexpr (std::endian::native == std::endian::little) value = swap_bytes(value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <std::unsigned_integral T>
constexpr T divide_up(T value, T by) {
  return value / by + (value % by != 0 ? 1 : 0);
}

// value must be at most the type's maximum minus to.
template <std::unsigned_integral T>
constexpr T round_up(T value, T to) {
  return divide_up(value, to) * to;
}

}  // namespace hyper2kvm::image
