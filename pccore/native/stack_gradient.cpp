// The gradient of a batch of a stacked network, as one call of a compiled JAX program.
//
// Forward pass, inference or backpropagation, errors and all weight gradients: what
// pccore/networks/local.py and descent.py compute as dozens of XLA operations. Here a tile of
// samples takes all its steps in the cache, a product and the elementwise work around it in one
// pass. pccore/native/__init__.py has the conditions under which it is used; XLA's form is the
// reference and the fallback.
//
// tile.h is the arithmetic; this file has its data structures, the choice of instructions, threads,
// and the binding to XLA. It uses nothing of Python.

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

constexpr int MOST_SAMPLES = 64;  // of a tile
constexpr int FEATURES = 128;     // of the input that a product of the first layer takes at once
constexpr int MOST_SWEEPS = 8;    // in flight
constexpr long SMALL = 1 << 20;   // bytes of weights and activities that stay in L2 by themselves
constexpr double SHORT = 2e6;     // multiply-adds of inference that waking a thread would lengthen
constexpr int ALIGNMENT = 64;     // bytes
// Numbers between arrays whose sizes are multiples of 4 KiB: a load waits for an earlier store to
// an address that is the same in its lowest twelve bits.
constexpr int GAP = 5 * ALIGNMENT / sizeof(float);

enum class Scheme : int32_t { descent, nesterov, lagrangian, backpropagation };
enum class Activation : int32_t { linear, relu, leaky_relu, tanh };
enum class Loss : int32_t { mse, cross_entropy };

// What the samples of one network's batch share. Absent arrays are null.
struct Problem {
  int inputs, outputs, width, depth, batch, steps;
  int sweeps;  // steps of inference that go down the layers together
  Scheme scheme;
  Activation activation;
  Loss loss;
  bool residual;
  float first_scale, hidden_scale, last_scale;  // the premultipliers a_1, a_l, a_L
  float rate;                                   // beta / B
  const float *first, *hidden, *last;           // W_1 (N, D), W_2 .. W_H (H-1, N, N), W_L (K, N)
  const float *hidden_bias, *last_bias;         // b_1 .. b_H (H, N), b_L (K)
  const float* precisions;                      // p_1 .. p_L
};

// Where the gradients of one network go, shaped as its weights.
struct Gradient {
  float *first, *hidden, *last, *hidden_bias, *last_bias;
};

// Some samples of a batch, and their activities.
struct Tile {
  const float *x, *y;  // (samples, D), (samples, K)
  int samples, padded;
  double* loss;                        // summed over samples
  float *start, *departure, *memory;   // z, d, steps or multipliers: (H, N, padded)
  float *output, *target;              // (K, padded): the prediction, then its error; y
  float *momentum, *along, *t;         // (padded): Nesterov's, with <gradient, step>
};

int round_up(int number, int unit) { return (number + unit - 1) / unit * unit; }

// Return the loss of a tile's predictions, in double precision, summed over its samples.
double summed_loss(const Problem& problem, const Tile& tile) {
  double sum = 0;
  for (int s = 0; s < tile.samples; ++s) {
    const float *output = tile.output + s, *target = tile.target + s;
    const int K = problem.outputs, S = tile.padded;
    if (problem.loss == Loss::mse) {
      for (int k = 0; k < K; ++k) {
        const double error = double(target[k * S]) - output[k * S];
        sum += 0.5 * error * error;
      }
      continue;
    }
    double largest = output[0], odds = 0;
    for (int k = 1; k < K; ++k) largest = output[k * S] > largest ? output[k * S] : largest;
    for (int k = 0; k < K; ++k) odds += std::exp(output[k * S] - largest);
    const double log_odds = largest + std::log(odds);
    for (int k = 0; k < K; ++k) sum -= target[k * S] * (output[k * S] - log_odds);
  }
  return sum;
}

// ------------------------------------------------------------------------------ instructions

#if defined(__x86_64__)

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")
namespace avx512 {
#define LANES 16
#define MOST_VECTORS 4
#include "tile.h"
#undef LANES
#undef MOST_VECTORS
#undef INLINE
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#define LANES 8
#define MOST_VECTORS 2
#include "tile.h"
#undef LANES
#undef MOST_VECTORS
#undef INLINE
}  // namespace avx2
#pragma GCC pop_options

#elif defined(__aarch64__)

namespace neon {
#define LANES 4
#define MOST_VECTORS 4
#include "tile.h"
#undef LANES
#undef MOST_VECTORS
#undef INLINE
}  // namespace neon

#endif

// The arithmetic for one instruction set.
struct Instructions {
  const char* name;
  void (*relax)(const Problem&, const Tile&, float*);
  void (*learn)(const Problem&, const Gradient&, const Tile*, int, int, float*);
};

// Return the sets that this processor has, the fastest first.
std::vector<Instructions> available() {
  std::vector<Instructions> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    found.push_back({"avx512", avx512::relax, avx512::learn});
  if (v3) found.push_back({"avx2", avx2::relax, avx2::learn});
#elif defined(__aarch64__)
  found.push_back({"neon", neon::relax, neon::learn});
#endif
  return found;
}

const std::vector<Instructions> INSTRUCTIONS = available();
std::atomic<size_t> chosen{0};

// ----------------------------------------------------------------------------------- threads

// The floating-point mode of a thread. XLA flushes denormal numbers to zero; a thread that helps
// must do as the one that it helps, or bits and speed would differ with tiny departures.
class FloatMode {
 public:
  static uint64_t current() {
#if defined(__x86_64__)
    return __builtin_ia32_stmxcsr();
#elif defined(__aarch64__)
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
#else
    return 0;
#endif
  }

  explicit FloatMode(uint64_t mode) : before_(current()) { set(mode); }
  ~FloatMode() { set(before_); }

 private:
  static void set(uint64_t mode) {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(static_cast<unsigned>(mode));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
  }

  const uint64_t before_;
};

// Tasks that the calling thread and those of XLA's pool take one after the other.
template <class Task>
struct Work {
  Task task;
  int count;
  uint64_t mode = FloatMode::current();
  std::atomic<int> next{0};
  int done = 0;
  std::mutex mutex;
  std::condition_variable finished;

  Work(Task task, int count) : task(task), count(count) {}

  void help() {
    const FloatMode same(mode);
    int mine = 0;
    for (int i; (i = next++) < count; ++mine) task(i);
    const std::lock_guard<std::mutex> lock(mutex);
    done += mine;
    if (done == count) finished.notify_all();
  }
};

// Call task(0) .. task(count - 1). The caller waits only for tasks that a thread has begun: it
// takes the others itself, so that a pool whose threads all wait here cannot lock up.
template <class Task>
void in_parallel(ffi::ThreadPool& pool, int threads, int count, Task task) {
  const int helpers = (threads < count ? threads : count) - 1;
  if (helpers < 1) {
    for (int i = 0; i < count; ++i) task(i);
    return;
  }
  // A helper that comes too late still looks at the work, which must then be there.
  auto work = std::make_shared<Work<Task>>(task, count);
  for (int i = 0; i < helpers; ++i) pool.Schedule([work] { work->help(); });
  work->help();
  std::unique_lock<std::mutex> lock(work->mutex);
  work->finished.wait(lock, [&] { return work->done == work->count; });
}

// Memory of a thread, kept for the next call: fresh pages cost more than the arithmetic of a small
// network.
class Arena {
 public:
  float* floats(size_t count) {
    if (count > size_) {
      std::free(memory_);
      const size_t bytes = (count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
      memory_ = static_cast<float*>(std::aligned_alloc(ALIGNMENT, bytes));
      size_ = memory_ ? count : 0;
    }
    return memory_;
  }
  ~Arena() { std::free(memory_); }

 private:
  float* memory_ = nullptr;
  size_t size_ = 0;
};

thread_local Arena activities, panels;

// --------------------------------------------------------------------------------- one network

// Return whether a scheme has a third array of a layer's size: steps or multipliers.
bool remembers(Scheme scheme) { return scheme == Scheme::nesterov || scheme == Scheme::lagrangian; }

// Return the numbers that a tile takes.
size_t tile_numbers(const Problem& p, int padded) {
  const size_t layers = size_t(p.depth) * p.width * padded + GAP;
  const size_t copies = remembers(p.scheme) ? 3 : 2;
  return copies * layers + size_t(2 * p.outputs + 3) * padded;
}

// Return the numbers of the panels that a thread needs.
size_t panel_numbers(const Problem& p, int padded) {
  const size_t layer = size_t(p.width) * padded + GAP;
  size_t most = (p.sweeps * 4 + 1) * layer;
  for (size_t other : {size_t(FEATURES) * padded, size_t(padded) * round_up(p.width, 16),
                       size_t(padded) * round_up(p.inputs, 16)})
    most = other > most ? other : most;
  return most;
}

Tile tile_at(const Problem& p, int padded, float* memory) {
  Tile tile{};
  const size_t layers = size_t(p.depth) * p.width * padded + GAP;
  const size_t output = size_t(p.outputs) * padded;
  tile.padded = padded;
  tile.start = memory;
  tile.departure = tile.start + layers;
  tile.memory = remembers(p.scheme) ? tile.departure + layers : tile.departure;
  tile.output = tile.memory + layers;
  tile.target = tile.output + output;
  tile.momentum = tile.target + output;
  tile.along = tile.momentum + padded;
  tile.t = tile.along + padded;
  return tile;
}

// Compute one network's loss and gradients, with its tiles and then its layers side by side.
bool gradient_of(ffi::ThreadPool& pool, int threads, Problem p, const float* x, const float* y,
                 const Gradient& gradient, float* loss) {
  const Instructions& instructions = INSTRUCTIONS[chosen];
  if (double(p.depth) * p.width * p.width * p.batch * p.steps < SHORT) threads = 1;
  // A tile for each thread, unless its vectors would be mostly padding.
  const int share = round_up((p.batch + threads - 1) / threads, 16);
  const int padded = share < MOST_SAMPLES ? share : MOST_SAMPLES;
  const int tiles = (p.batch + padded - 1) / padded;
  const long bytes = sizeof(float) * (long(p.depth) * p.width * (p.width + 2 * padded));
  p.sweeps = bytes > SMALL ? MOST_SWEEPS : 1;

  const size_t of_tile = tile_numbers(p, padded), of_panels = panel_numbers(p, padded);
  float* const memory = activities.floats(tiles * of_tile);
  if (!memory) return false;
  std::vector<Tile> all(tiles);
  std::vector<double> losses(tiles);
  std::atomic<bool> enough{true};
  in_parallel(pool, threads, tiles, [&](int i) {
    float* const mine = panels.floats(of_panels);
    if (!mine) {
      enough = false;
      return;
    }
    Tile tile = tile_at(p, padded, memory + i * of_tile);
    const long first = long(i) * padded;
    tile.samples = p.batch - first < padded ? p.batch - first : padded;
    tile.x = x + first * p.inputs;
    tile.y = y + first * p.outputs;
    tile.loss = &losses[i];
    const size_t moving = (tile.output - tile.departure) * sizeof(float);
    std::memset(tile.departure, 0, moving);
    instructions.relax(p, tile, mine);
    all[i] = tile;
  });
  if (!enough) return false;
  in_parallel(pool, threads, p.depth + 1, [&](int l) {
    float* const mine = panels.floats(of_panels);
    if (mine)
      instructions.learn(p, gradient, all.data(), tiles, l, mine);
    else
      enough = false;
  });
  double sum = 0;
  for (double each : losses) sum += each;
  *loss = static_cast<float>(sum / p.batch);
  return enough;
}

// ------------------------------------------------------------------------------------ binding

using Input = ffi::Buffer<ffi::F32>;
using Output = ffi::Result<ffi::Buffer<ffi::F32>>;

// Arrays have any number of leading axes, the lanes of jax.vmap. Empty arrays stand for none.
ffi::Error gradients(ffi::ThreadPool pool, Input first, Input hidden, Input last, Input hidden_bias,
                     Input last_bias, Input x, Input y, Input rate, Output loss, Output to_first,
                     Output to_hidden, Output to_last, Output to_hidden_bias, Output to_last_bias,
                     int32_t depth, int32_t steps, int32_t scheme, int32_t activation,
                     int32_t output_loss, int32_t residual, ffi::Span<const float> scalings,
                     ffi::Span<const float> precisions) {
  if (INSTRUCTIONS.empty()) return ffi::Error::Internal("this processor has no AVX2");
  const auto in = x.dimensions(), out = y.dimensions(), into = first.dimensions();
  Problem p{};
  p.inputs = in[in.size() - 1];
  p.batch = in[in.size() - 2];
  p.outputs = out[out.size() - 1];
  p.width = into[into.size() - 2];
  p.depth = depth;
  p.steps = steps;
  p.scheme = static_cast<Scheme>(scheme);
  p.activation = static_cast<Activation>(activation);
  p.loss = static_cast<Loss>(output_loss);
  p.residual = residual;
  p.first_scale = scalings[0];
  p.hidden_scale = scalings[1];
  p.last_scale = scalings[2];
  p.precisions = precisions.size() ? precisions.begin() : nullptr;

  const long N = p.width, D = p.inputs, K = p.outputs, H = p.depth, B = p.batch;
  const int lanes = rate.element_count();
  const bool biased = last_bias.element_count() > 0;
  const auto lane = [&](auto* numbers, long lane, long each) { return numbers + lane * each; };
  const auto one = [&](ffi::ThreadPool& pool, int threads, int l) {
    Problem mine = p;
    mine.first = lane(first.typed_data(), l, N * D);
    mine.hidden = lane(hidden.typed_data(), l, (H - 1) * N * N);
    mine.last = lane(last.typed_data(), l, K * N);
    mine.rate = rate.typed_data()[l];
    Gradient gradient{};
    gradient.first = lane(to_first->typed_data(), l, N * D);
    gradient.hidden = lane(to_hidden->typed_data(), l, (H - 1) * N * N);
    gradient.last = lane(to_last->typed_data(), l, K * N);
    if (biased) {
      mine.hidden_bias = lane(hidden_bias.typed_data(), l, H * N);
      mine.last_bias = lane(last_bias.typed_data(), l, K);
      gradient.hidden_bias = lane(to_hidden_bias->typed_data(), l, H * N);
      gradient.last_bias = lane(to_last_bias->typed_data(), l, K);
    }
    return gradient_of(pool, threads, mine, lane(x.typed_data(), l, B * D),
                       lane(y.typed_data(), l, B * K), gradient, loss->typed_data() + l);
  };
  const int threads = pool.num_threads() > 1 ? pool.num_threads() : 1;
  std::atomic<bool> enough{true};
  // Several lanes occupy the threads by themselves, a lone one divides its samples.
  if (lanes >= threads)
    in_parallel(pool, threads, lanes, [&](int l) {
      if (!one(pool, 1, l)) enough = false;
    });
  else
    for (int l = 0; l < lanes; ++l)
      if (!one(pool, threads, l)) enough = false;
  if (!enough) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mupc_stack_gradient, gradients,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Arg<Input>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int32_t>("depth")
                                  .Attr<int32_t>("steps")
                                  .Attr<int32_t>("scheme")
                                  .Attr<int32_t>("activation")
                                  .Attr<int32_t>("output_loss")
                                  .Attr<int32_t>("residual")
                                  .Attr<ffi::Span<const float>>("scalings")
                                  .Attr<ffi::Span<const float>>("precisions"));

// The arguments' version: raised with the binding above, and in pccore/native/__init__.py.
extern "C" int mupc_stack_gradient_version() { return 2; }

// Return the name of the instructions in use, or "" where the processor has none of them.
extern "C" const char* mupc_instructions() {
  return INSTRUCTIONS.empty() ? "" : INSTRUCTIONS[chosen].name;
}

// Use other instructions (for tests); return whether this processor has them.
extern "C" int mupc_use_instructions(const char* name) {
  for (size_t i = 0; i < INSTRUCTIONS.size(); ++i)
    if (!std::strcmp(INSTRUCTIONS[i].name, name)) {
      chosen = i;
      return 1;
    }
  return 0;
}
