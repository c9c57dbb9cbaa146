// The gradient of one tile of samples, for one instruction set.
//
// stack_gradient.cpp includes this file once for each instruction set, inside a namespace, with
// LANES (floats of a vector) and MOST_VECTORS (vectors of a product's row in registers) defined. It
// must not instantiate templates of the standard library: the linker would merge them with those
// that other processors run.
//
// Samples are innermost: everything is [layer][unit][sample]. A tile runs all T steps of inference
// alone, because samples never meet, so that its activities stay in the cache.

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int Bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE inline __attribute__((always_inline))

INLINE Vec load(const float* at) { return *reinterpret_cast<const Vec*>(at); }
INLINE void store(float* at, Vec values) { *reinterpret_cast<Vec*>(at) = values; }
INLINE Vec all(float value) { return value - Vec{}; }

// ------------------------------------------------------------------------------- elementwise

// In these, a NaN in `a` stays: a diverged run must not look healthy.
INLINE Vec larger(Vec a, Vec b) { return a < b ? b : a; }
INLINE Vec smaller(Vec a, Vec b) { return a > b ? b : a; }

// e^x by a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes' expf); 2 units in the last place.
INLINE Vec exponential(Vec x) {
  x = smaller(larger(x, all(-87.0f)), all(88.0f));
  const Vec scaled = x * 1.44269504088896341f;
  const Bits n = __builtin_convertvector(scaled + (scaled > 0 ? all(0.5f) : all(-0.5f)), Bits);
  const Vec whole = __builtin_convertvector(n, Vec);
  const Vec r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  Vec p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * reinterpret_cast<Vec>((n + 127) << 23);
}

// tanh x as a ratio of polynomials (that of Eigen and XLA), odd, so exact for small x.
INLINE Vec hyperbolic_tangent(Vec x) {
  x = smaller(larger(x, all(-7.90531110763549805f)), all(7.90531110763549805f));
  const Vec s = x * x;
  Vec above = all(-2.76076847742355e-16f);
  above = above * s + 2.00018790482477e-13f;
  above = above * s - 8.60467152213735e-11f;
  above = above * s + 5.12229709037114e-08f;
  above = above * s + 1.48572235717979e-05f;
  above = above * s + 6.37261928875436e-04f;
  above = above * s + 4.89352455891786e-03f;
  Vec below = all(1.19825839466702e-06f);
  below = below * s + 1.18534705686654e-04f;
  below = below * s + 2.26843463243900e-03f;
  below = below * s + 4.89352518554385e-03f;
  return x * above / below;
}

// An activation phi after a departure d from z, as in pccore/activations.py.
struct Response {
  Vec change;  // phi(z + d) - phi(z), accurate relative to its own size
  Vec value;   // phi(z + d)
  Vec slope;   // phi'(z + d)
};

struct Linear {
  static constexpr bool keeps_slope = false;  // cheaper to compute twice than to keep
  static INLINE Vec value(Vec z) { return z; }
  static INLINE Response respond(Vec z, Vec d) { return {d, z + d, all(1)}; }
};

INLINE Vec relu_change(Vec z, Vec d) {
  return larger(d + smaller(z, Vec{}), -larger(z, Vec{}));
}

struct ReLU {
  static constexpr bool keeps_slope = false;
  static INLINE Vec value(Vec z) { return larger(z, Vec{}); }
  static INLINE Response respond(Vec z, Vec d) {
    const Vec after = z + d;
    return {relu_change(z, d), value(after), after > 0 ? all(1) : Vec{}};
  }
};

struct LeakyReLU {
  static constexpr bool keeps_slope = false;
  static INLINE Vec value(Vec z) { return z < 0 ? 0.01f * z : z; }
  static INLINE Response respond(Vec z, Vec d) {
    const Vec after = z + d;
    const Vec change = 0.01f * d + 0.99f * relu_change(z, d);
    return {change, value(after), after < 0 ? all(0.01f) : all(1)};
  }
};

struct Tanh {
  static constexpr bool keeps_slope = true;
  static INLINE Vec value(Vec z) { return hyperbolic_tangent(z); }
  static INLINE Response respond(Vec z, Vec d) {
    const Vec after = value(z + d);
    return {value(d) * (1 - value(z) * after), after, 1 - after * after};
  }
};

// ---------------------------------------------------------------------------------- products

// Whether use(row, column, sum) returns a vector, which is then added up over the rows.
template <class Use>
constexpr bool adds_up = !__is_same(decltype((*(Use*)nullptr)(0, 0, Vec{})), void);

// Add A x to nothing, for R rows and V vectors of columns that stay in registers, and hand each
// vector of the result over: use(row, column, sum). What it returns, if anything, is added to
// `totals` by column: in registers, because the rows of a block would wait for each other's stores.
//
// A has its entries `row_stride` and `term_stride` apart, so that W serves a prediction (by its
// rows) and a feedback (by its columns) without a copy. The sum runs over the terms in order
// whatever the width of vectors: no instruction set rounds it otherwise.
template <int R, int V, class Use>
INLINE void block(const float* A, long row_stride, long term_stride, const float* x, long x_stride,
                  int terms, int row, int column, Use use, float* totals) {
  Vec sum[R][V] = {};
  const float* a = A + row * row_stride;
  const float* b = x + column;
#pragma GCC unroll 2
  for (int term = 0; term < terms; ++term) {
    Vec values[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) values[v] = load(b + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec scalar = all(a[r * row_stride]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[r][v] += scalar * values[v];
    }
    a += term_stride;
    b += x_stride;
  }
  if constexpr (adds_up<Use>) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const int at = column + v * LANES;
      Vec total = load(totals + at);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) total += use(row + r, at, sum[r][v]);
      store(totals + at, total);
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) use(row + r, column + v * LANES, sum[r][v]);
  }
}

// Write the sums of R rows and `vectors` vectors to memory.
template <int R>
inline __attribute__((noinline)) void edge(const float* A, long row_stride, long term_stride,
                                           const float* x, long x_stride, int vectors, int terms,
                                           float* sums) {
  const auto keep = [=](int row, int column, Vec sum) {
    store(sums + row * vectors * LANES + column, sum);
  };
  if (vectors == MOST_VECTORS)
    block<R, MOST_VECTORS>(A, row_stride, term_stride, x, x_stride, terms, 0, 0, keep, nullptr);
  else
    for (int v = 0; v < vectors; ++v)
      block<R, 1>(A, row_stride, term_stride, x, x_stride, terms, 0, v * LANES, keep, nullptr);
}

// Hand over every vector of the product of A (rows x terms) and x (terms x columns), where columns
// are a multiple of LANES. Whole blocks go from registers to `use`, those at the edges by memory.
template <class Use>
INLINE void product(const float* A, long row_stride, long term_stride, int rows, const float* x,
                    long x_stride, int columns, int terms, Use use, float* totals = nullptr) {
  for (int column = 0; column < columns; column += MOST_VECTORS * LANES) {
    const int left = (columns - column) / LANES;
    const int vectors = left < MOST_VECTORS ? left : MOST_VECTORS;
    int row = 0;
    if (vectors == MOST_VECTORS)
      for (; row + 4 <= rows; row += 4)
        block<4, MOST_VECTORS>(A, row_stride, term_stride, x, x_stride, terms, row, column, use,
                               totals);
    for (; row < rows; row += 4) {
      const int some = rows - row < 4 ? rows - row : 4;
      float sums[4 * MOST_VECTORS * LANES] __attribute__((aligned(64)));
      const float *a = A + row * row_stride, *b = x + column;
      const auto write = some == 4 ? edge<4> : some == 3 ? edge<3> : some == 2 ? edge<2> : edge<1>;
      write(a, row_stride, term_stride, b, x_stride, vectors, terms, sums);
      for (int r = 0; r < some; ++r)
        for (int v = 0; v < vectors; ++v) {
          const int at = column + v * LANES;
          const Vec sum = load(sums + (r * vectors + v) * LANES);
          if constexpr (adds_up<Use>)
            store(totals + at, load(totals + at) + use(row + r, at, sum));
          else
            use(row + r, at, sum);
        }
    }
  }
}

template <int... I>
struct Places {};
template <int N, int... I>
struct Upto : Upto<N - 1, N - 1, I...> {};
template <int... I>
struct Upto<0, I...> {
  using type = Places<I...>;
};

// Exchange blocks of `half` x `half` across the diagonal.
template <int half, int... I>
INLINE void exchange(Vec* rows, Places<I...>) {
#pragma GCC unroll 16
  for (int i = 0; i < LANES; ++i) {
    if (i & half) continue;
    const Vec a = rows[i], b = rows[i + half];
    rows[i] = __builtin_shufflevector(a, b, ((I & half) ? LANES + I - half : I)...);
    rows[i + half] = __builtin_shufflevector(a, b, ((I & half) ? LANES + I : I + half)...);
  }
}

// Transpose a square of LANES x LANES; rows beyond `count` are zero.
INLINE void transpose_square(const float* from, long from_stride, int count, float* to,
                             long to_stride) {
  using Each = typename Upto<LANES>::type;
  Vec rows[LANES];
#pragma GCC unroll 16
  for (int i = 0; i < LANES; ++i) rows[i] = i < count ? load(from + i * from_stride) : Vec{};
  exchange<1>(rows, Each{});
  exchange<2>(rows, Each{});
  if constexpr (LANES > 4) exchange<4>(rows, Each{});
  if constexpr (LANES > 8) exchange<8>(rows, Each{});
#pragma GCC unroll 16
  for (int i = 0; i < LANES; ++i) store(to + i * to_stride, rows[i]);
}

// Transpose `rows` x `columns` numbers, padded to `padded` rows with zeros.
inline void transpose(const float* from, long from_stride, int rows, int columns, float* to,
                      long to_stride, int padded) {
  for (int row = 0; row < padded; row += LANES) {
    const int count = rows - row < LANES ? rows - row : LANES;
    int column = 0;
    for (; column + LANES <= columns; column += LANES)
      transpose_square(from + row * from_stride + column, from_stride, count,
                       to + column * to_stride + row, to_stride);
    for (; column < columns; ++column)
      for (int i = 0; i < LANES; ++i)
        to[column * to_stride + row + i] = i < count ? from[(row + i) * from_stride + column] : 0;
  }
}

// -------------------------------------------------------------------------------- predictions

// Compute z_1 = f_1(x), taking as many features at once as L1 holds; `panel` has their transpose.
inline void first_layer(const Problem& problem, const Tile& tile, float* panel) {
  const int D = problem.inputs, S = tile.padded;
  const float scale = problem.first_scale, *bias = problem.hidden_bias;
  float* z = tile.start;
  for (int feature = 0; feature < D; feature += FEATURES) {
    const int terms = D - feature < FEATURES ? D - feature : FEATURES;
    const bool begins = feature == 0, ends = feature + terms == D;
    transpose(tile.x + feature, D, tile.samples, terms, panel, S, S);
    product(problem.first + feature, D, 1, problem.width, panel, S, S, terms,
            [=](int row, int column, Vec sum) {
              float* at = z + long(row) * S + column;
              if (!begins) sum += load(at);
              if (ends) sum = scale * sum + (bias ? bias[row] : 0.0f);
              store(at, sum);
            });
  }
}

// Compute z_(l+1) = a W phi(z_l) + tau z_l + b, l = 1 .. H-1; `seen` is phi(z_l).
inline void next_layer(const Problem& problem, int S, int l, const float* below, const float* seen,
                       float* z) {
  const int N = problem.width;
  const float scale = problem.hidden_scale, tau = problem.residual;
  const float* bias = problem.hidden_bias ? problem.hidden_bias + l * N : nullptr;
  product(problem.hidden + long(l - 1) * N * N, N, 1, N, seen, S, S, N,
          [=](int row, int column, Vec sum) {
            const long at = long(row) * S + column;
            store(z + at, tau * load(below + at) + scale * sum + (bias ? bias[row] : 0.0f));
          });
}

// Compute the prediction of the output; `seen` is phi(z_H).
inline void predict_output(const Problem& problem, const Tile& tile, const float* seen) {
  const int S = tile.padded;
  const float scale = problem.last_scale, *bias = problem.last_bias;
  float* to = tile.output;
  product(problem.last, problem.width, 1, problem.outputs, seen, S, S, problem.width,
          [=](int row, int column, Vec sum) {
            store(to + row * S + column, scale * sum + (bias ? bias[row] : 0.0f));
          });
}

// Turn the prediction of the output into its error, minus the gradient of the loss.
inline void output_error(const Problem& problem, const Tile& tile) {
  const int K = problem.outputs, S = tile.padded;
  const float precision = problem.precisions ? problem.precisions[problem.depth] : 1;
  for (int s = 0; s < S; s += LANES) {
    float* output = tile.output + s;
    const float* y = tile.target + s;
    if (problem.loss == Loss::mse) {
      for (int k = 0; k < K; ++k)
        store(output + k * S, precision * (load(y + k * S) - load(output + k * S)));
      continue;
    }
    Vec largest = load(output), sum{}, total{};
    for (int k = 1; k < K; ++k) largest = larger(largest, load(output + k * S));
    for (int k = 0; k < K; ++k) {
      const Vec odds = exponential(load(output + k * S) - largest);
      store(output + k * S, odds);
      sum += odds;
      total += load(y + k * S);
    }
    const Vec share = total / sum;
    for (int k = 0; k < K; ++k)
      store(output + k * S, precision * (load(y + k * S) - share * load(output + k * S)));
  }
}

// Multiply a residual r by the layer's precision. With multipliers, lambda <- lambda + r comes
// first where `ascends`, and lambda + r is what counts.
template <bool multiplied, bool ascends>
INLINE Vec weighted(Vec residual, float* multiplier, float precision) {
  if constexpr (multiplied) {
    Vec lambda = load(multiplier);
    if constexpr (ascends) {
      lambda += residual;
      store(multiplier, lambda);
    }
    residual += lambda;
  }
  return precision * residual;
}

// Write e_l from r_l = d_l - tau d_(l-1) - a W [phi(z_(l-1) + d_(l-1)) - phi(z_(l-1))]; `change` is
// the bracket. `error` may be `d`.
template <bool multiplied, bool ascends>
inline void errors(const Problem& problem, int S, int l, const float* d, const float* d_below,
                   const float* change, float* multipliers, float* error) {
  const int N = problem.width;
  const float scale = problem.hidden_scale, tau = problem.residual;
  const float precision = problem.precisions ? problem.precisions[l] : 1;
  product(problem.hidden + long(l - 1) * N * N, N, 1, N, change, S, S, N,
          [=](int row, int column, Vec sum) {
            const long i = long(row) * S + column;
            const Vec residual = load(d + i) - tau * load(d_below + i) - scale * sum;
            store(error + i, weighted<multiplied, ascends>(residual, multipliers + i, precision));
          });
}

// The same where the layer below has not moved: r_l = d_l.
template <bool multiplied, bool ascends>
inline void errors_above_still_layer(const Problem& problem, int S, int l, const float* d,
                                     float* multipliers, float* error) {
  const float precision = problem.precisions ? problem.precisions[l] : 1;
  for (long i = 0; i < long(problem.width) * S; i += LANES)
    store(error + i, weighted<multiplied, ascends>(load(d + i), multipliers + i, precision));
}

// --------------------------------------------------------------------------------- inference

// One step of inference on its way down the layers.
struct Sweep {
  int step;
  float* error;     // e of the layer in hand
  float* above;     // e of the layer above it
  float* change;    // phi(z + d) - phi(z) of the layer below it; of the top layer phi(z + d)
  float* slope[2];  // phi'(z + d) of the layer in hand and of the one below, by parity
};

template <class Phi, Scheme scheme>
struct Relaxation {
  static constexpr bool momentum = scheme == Scheme::nesterov;
  static constexpr bool multiplied = scheme == Scheme::lagrangian;

  const Problem& problem;
  const Tile& tile;
  float* const panels;
  const int H, S;
  const long layer;  // numbers of a layer

  INLINE Relaxation(const Problem& problem, const Tile& tile, float* panels)
      : problem(problem), tile(tile), panels(panels), H(problem.depth), S(tile.padded),
        layer(long(problem.width) * tile.padded) {}

  float* start(int l) const { return tile.start + l * layer; }
  float* departure(int l) const { return tile.departure + l * layer; }
  float* memory(int l) const { return tile.memory + l * layer; }

  // Compute the activities of a forward pass, and the sum of the samples' losses.
  void forward() const {
    first_layer(problem, tile, panels);
    for (int l = 0; l < H; ++l) {
      for (long i = 0; i < layer; i += LANES) store(panels + i, Phi::value(load(start(l) + i)));
      if (l < H - 1)
        next_layer(problem, S, l + 1, start(l), panels, start(l + 1));
      else
        predict_output(problem, tile, panels);
    }
    transpose(tile.y, problem.outputs, tile.samples, problem.outputs, tile.target, S, S);
    *tile.loss = summed_loss(problem, tile);
  }

  // Take all T steps.
  void infer() const {
    // A momentum depends on all layers of the step before.
    const int together = momentum ? 1 : problem.sweeps;
    Sweep sweeps[MOST_SWEEPS] = {};
    float* free = panels + layer + GAP;
    const auto panel = [&](bool needed) {
      float* const mine = needed ? free : nullptr;
      free += needed ? layer + GAP : 0;
      return mine;
    };
    for (int s = 0; s < together; ++s) {
      Sweep& sweep = sweeps[s];
      sweep.change = panels;  // used up before another sweep looks at a layer
      sweep.error = panel(true);
      sweep.above = panel(true);
      for (int parity = 0; parity < 2; ++parity) sweep.slope[parity] = panel(Phi::keeps_slope);
    }
    if (momentum) begin_momentum();
    for (int done = 0; done < problem.steps; done += together) {
      const int count = problem.steps - done < together ? problem.steps - done : together;
      for (int s = 0; s < count; ++s) sweeps[s].step = done + s;
      // A sweep follows one layer behind the sweep before it, while that layer's weights and
      // activities are in the cache. As a whole, those of large networks exceed it.
      for (int place = 0; place < H + count - 1; ++place)
        for (int s = 0; s < count; ++s) {
          const int l = H - 1 - place + s;
          if (l < H && l >= lowest(sweeps[s].step)) visit(sweeps[s], l);
        }
      if (momentum) carry_momentum();
    }
  }

  // The wave: an error travels one layer a step, so that before step t only layers from
  // `reached` up have moved, and the step moves those from `lowest` up.
  int reached(int step) const { return H > step ? H - step : 0; }
  int lowest(int step) const { return reached(step + 1); }

  // Take a layer's part of a step: its error, then its new departure.
  void visit(Sweep& sweep, int l) const {
    const int moved = reached(sweep.step);
    if (l == H - 1) {
      look<true>(sweep, l);
      predict_output(problem, tile, sweep.change);
      output_error(problem, tile);
    }
    const bool below_moved = l > moved;
    if (below_moved || (Phi::keeps_slope && l > lowest(sweep.step)))
      look<false>(sweep, l - 1);
    if (below_moved)
      errors<multiplied, true>(problem, S, l, departure(l), departure(l - 1), sweep.change,
                               memory(l), sweep.error);
    else if (l == moved)
      errors_above_still_layer<multiplied, true>(problem, S, l, departure(l), memory(l),
                                                 sweep.error);
    else
      __builtin_memset(sweep.error, 0, layer * sizeof(float));
    descend(sweep, l);
    float* const error = sweep.error;
    sweep.error = sweep.above;
    sweep.above = error;
  }

  // Fill the panels of a layer: change (or value) and slope. By Nesterov the layer first goes on
  // with its momentum, to where the gradient is taken.
  template <bool value>
  void look(Sweep& sweep, int l) const {
    const float *z = start(l), *step = memory(l);
    float *d = departure(l), *change = sweep.change, *slope = sweep.slope[l & 1];
    for (long row = 0; row < layer; row += S)
      for (int s = 0; s < S; s += LANES) {
        const long i = row + s;
        Vec at = load(d + i);
        if constexpr (momentum) {
          at += load(tile.momentum + s) * load(step + i);
          store(d + i, at);
        }
        const Response found = Phi::respond(load(z + i), at);
        store(change + i, value ? found.value : found.change);
        if constexpr (Phi::keeps_slope) store(slope + i, found.slope);
      }
  }

  // Move a layer against its gradient e_l - tau e_(l+1) - phi' a W^T e_(l+1).
  void descend(const Sweep& sweep, int l) const {
    const int N = problem.width;
    const bool top = l == H - 1;
    const float* W = top ? problem.last : problem.hidden + long(l) * N * N;
    const float scale = top ? problem.last_scale : problem.hidden_scale;
    const float tau = top ? 0 : problem.residual, rate = problem.rate;
    const float *error = sweep.error, *above = top ? sweep.error : sweep.above;
    const float *z = start(l), *slopes = sweep.slope[l & 1];
    const float* carried = tile.momentum;
    float *d = departure(l), *steps = memory(l);
    const auto move = [=](int row, int column, Vec sum) {
      const long i = long(row) * this->S + column;
      const Vec at = load(d + i);
      Vec slope;
      if constexpr (Phi::keeps_slope)
        slope = load(slopes + i);
      else
        slope = Phi::respond(load(z + i), at).slope;
      const Vec gradient = load(error + i) - tau * load(above + i) - slope * (scale * sum);
      if constexpr (momentum) {
        const Vec step = load(carried + column) * load(steps + i) - rate * gradient;
        store(steps + i, step);
        store(d + i, at - rate * gradient);
        return gradient * step;
      } else {
        store(d + i, at - rate * gradient);
      }
    };
    product(W, 1, N, N, top ? tile.output : above, S, S, top ? problem.outputs : N, move,
            tile.along);
  }

  void begin_momentum() const {
    for (int s = 0; s < S; ++s) {
      tile.momentum[s] = 0;
      tile.along[s] = 0;
      tile.t[s] = 1;
    }
  }

  // Restart the samples whose gradient points along their step.
  void carry_momentum() const {
    for (int s = 0; s < S; ++s) {
      const float t = tile.along[s] > 0 ? 1 : tile.t[s];
      tile.t[s] = 0.5f * (1 + __builtin_sqrtf(1 + 4 * t * t));
      tile.momentum[s] = (t - 1) / tile.t[s];
      tile.along[s] = 0;
    }
  }

  // Turn departures into the errors that weights learn from, and activities z into phi(z + d).
  void settle() const {
    const int moved = reached(problem.steps);
    float* const change = panels;
    settle_values(H - 1, change);
    predict_output(problem, tile, start(H - 1));
    output_error(problem, tile);
    for (int l = H - 1; l >= moved; --l) {
      float* const d = departure(l);
      if (l > 0) settle_values(l - 1, change);
      if (l > moved)
        errors<multiplied, false>(problem, S, l, d, departure(l - 1), change, memory(l), d);
      else
        errors_above_still_layer<multiplied, false>(problem, S, l, d, memory(l), d);
    }
  }

  // In place of inference: turn departures into minus the gradient of the forward pass's loss,
  // delta_l = tau delta_(l+1) + phi' a W^T delta_(l+1), and activities z into phi(z).
  void backpropagate() const {
    forward();
    output_error(problem, tile);
    const int N = problem.width;
    for (int l = H - 1; l >= 0; --l) {
      const bool top = l == H - 1;
      const float* W = top ? problem.last : problem.hidden + long(l) * N * N;
      const float scale = top ? problem.last_scale : problem.hidden_scale;
      const float* above = top ? nullptr : departure(l + 1);
      const float tau = problem.residual;
      float *z = start(l), *delta = departure(l);
      product(W, 1, N, N, top ? tile.output : above, S, S, top ? problem.outputs : N,
              [=](int row, int column, Vec sum) {
                const long i = long(row) * this->S + column;
                const Response at = Phi::respond(load(z + i), Vec{});
                const Vec through = at.slope * (scale * sum);
                store(delta + i, above ? through + tau * load(above + i) : through);
                store(z + i, at.value);
              });
    }
  }

  void settle_values(int l, float* change) const {
    float* const z = start(l);
    const float* d = departure(l);
    for (long i = 0; i < layer; i += LANES) {
      const Response found = Phi::respond(load(z + i), load(d + i));
      store(change + i, found.change);
      store(z + i, found.value);
    }
  }

  void run() const {
    forward();
    infer();
    settle();
  }
};

// ---------------------------------------------------------------------------------- learning

// Write scale * sum over samples of error (rows x samples) times seen (samples x columns).
inline __attribute__((noinline)) void outer(const float* error, int padded, int rows,
                                            const float* seen, long seen_stride, int columns,
                                            int samples, float scale, float* to, bool adds) {
  product(error, padded, 1, rows, seen, seen_stride, round_up(columns, 16), samples,
          [=](int row, int column, Vec sum) {
            float* at = to + long(row) * columns + column;
            sum *= scale;
            if (column + LANES <= columns) {
              store(at, adds ? load(at) + sum : sum);
            } else {
              for (int i = 0; column + i < columns; ++i) at[i] = adds ? at[i] + sum[i] : sum[i];
            }
          });
}

inline void add_rows(const float* error, int padded, int rows, int samples, float scale, float* to,
                     bool adds) {
  for (int row = 0; row < rows; ++row) {
    float sum = 0;
    for (int s = 0; s < samples; ++s) sum += error[long(row) * padded + s];
    to[row] = scale * sum + (adds ? to[row] : 0);
  }
}

// Write the gradient of weight matrix W_(l+1), l = 0 .. H, from the tiles of a batch, after
// `settle`. Layers that no error has reached have a gradient of exactly zero.
inline void learn(const Problem& p, const Gradient& gradient, const Tile* tiles, int count, int l,
                  float* panel) {
  const int N = p.width, H = p.depth, D = p.inputs, K = p.outputs;
  const int wide = round_up(N, 16);
  if (l < H - p.steps) {
    const long numbers = l == 0 ? long(N) * D : long(N) * N;
    float* to = l == 0 ? gradient.first : gradient.hidden + (l - 1) * numbers;
    __builtin_memset(to, 0, numbers * sizeof(float));
    if (gradient.hidden_bias) __builtin_memset(gradient.hidden_bias + l * N, 0, N * sizeof(float));
    return;
  }
  for (int i = 0; i < count; ++i) {
    const Tile& tile = tiles[i];
    const bool adds = i > 0;
    const int S = tile.padded;
    const float* error = l == H ? tile.output : tile.departure + long(l) * N * S;
    if (l == 0) {
      const float* x = tile.x;
      if (D % 16) {  // vectors would read beyond the batch
        for (int s = 0; s < tile.samples; ++s)
          __builtin_memcpy(panel + long(s) * round_up(D, 16), x + long(s) * D, D * sizeof(float));
        x = panel;
      }
      const long stride = D % 16 ? round_up(D, 16) : D;
      const float scale = -p.first_scale / p.batch;
      outer(error, S, N, x, stride, D, tile.samples, scale, gradient.first, adds);
    } else {
      transpose(tile.start + long(l - 1) * N * S, S, N, tile.samples, panel, wide, wide);
      const bool last = l == H;
      const float scale = -(last ? p.last_scale : p.hidden_scale) / p.batch;
      float* to = last ? gradient.last : gradient.hidden + long(l - 1) * N * N;
      outer(error, S, last ? K : N, panel, wide, N, tile.samples, scale, to, adds);
    }
    if (gradient.hidden_bias) {
      float* to = l == H ? gradient.last_bias : gradient.hidden_bias + l * N;
      add_rows(error, S, l == H ? K : N, tile.samples, -1.0f / p.batch, to, adds);
    }
  }
}

template <class Phi>
inline void relax_by(const Problem& problem, const Tile& tile, float* panels) {
  switch (problem.scheme) {
    case Scheme::descent: return Relaxation<Phi, Scheme::descent>(problem, tile, panels).run();
    case Scheme::nesterov: return Relaxation<Phi, Scheme::nesterov>(problem, tile, panels).run();
    case Scheme::lagrangian:
      return Relaxation<Phi, Scheme::lagrangian>(problem, tile, panels).run();
    case Scheme::backpropagation:
      return Relaxation<Phi, Scheme::descent>(problem, tile, panels).backpropagate();
  }
}

// Compute forward pass, inference or backpropagation, and the errors that weights learn from.
inline void relax(const Problem& problem, const Tile& tile, float* panels) {
  switch (problem.activation) {
    case Activation::linear: return relax_by<Linear>(problem, tile, panels);
    case Activation::relu: return relax_by<ReLU>(problem, tile, panels);
    case Activation::leaky_relu: return relax_by<LeakyReLU>(problem, tile, panels);
    case Activation::tanh: return relax_by<Tanh>(problem, tile, panels);
  }
}


