#include "runner/image/chunk.h"

#include <chrono>
#include <system_error>

#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);

}  // namespace

ChunkPool::ChunkPool(std::size_t count, std::size_t head, std::size_t size)
    : shelf_(std::make_shared<Shelf>()) {
  for (std::size_t i = 0; i < count; ++i) shelf_->free.push_back(std::make_unique<Chunk>(head, size));
}

std::shared_ptr<Chunk> ChunkPool::take(const std::function<void()>& wait) {
  std::unique_lock lock(shelf_->mutex);
  while (shelf_->free.empty()) {
    shelf_->returned.wait_for(lock, kTick);
    lock.unlock();
    wait();
    lock.lock();
  }
  std::unique_ptr<Chunk> chunk = std::move(shelf_->free.back());
  shelf_->free.pop_back();
  lock.unlock();
  return std::shared_ptr<Chunk>(chunk.release(), [shelf = shelf_](Chunk* returned) {
    {
      std::lock_guard guard(shelf->mutex);
      shelf->free.emplace_back(returned);  // never allocates: all were in it before
    }
    shelf->returned.notify_one();
  });
}

HashThread::HashThread() {
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error& error) {
    throw os::system_error(error.code().value(), "start a thread", "hyper2kvm");
  }
}

HashThread::~HashThread() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void HashThread::add(std::shared_ptr<Chunk> chunk) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;  // it has failed: finish() will say so
    queue_.push_back(std::move(chunk));
  }
  changed_.notify_all();
}

std::string HashThread::finish(const std::function<void()>& wait) {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  while (!ended_) {
    changed_.wait_for(lock, kTick);
    lock.unlock();
    wait();
    lock.lock();
  }
  if (error_) std::rethrow_exception(error_);
  return digest_.finish();
}

void HashThread::work() {
  std::unique_lock lock(mutex_);
  try {
    while (true) {
      changed_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) break;
      std::vector<std::shared_ptr<Chunk>> chunks;
      chunks.swap(queue_);
      lock.unlock();
      for (std::shared_ptr<Chunk>& chunk : chunks) {
        digest_.add(chunk->fresh);
        chunk.reset();
      }
      lock.lock();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    error_ = std::current_exception();
    queue_.clear();
  }
  ended_ = true;
  changed_.notify_all();
}

}  // namespace hyper2kvm::image
