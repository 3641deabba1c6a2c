"""CUDA source of a whole decoder layer in one kernel, and of the products in it.

A layer of two rows is eight small pieces of work, each of which needs all of the one before. As kernels they cost what
MLX takes to launch them; here the blocks of one kernel wait for each other instead, and while they wait, the next
weights are on their way.
"""

from __future__ import annotations

from typing import Final

from generation import cuda_sources

HEADER: Final = (
    cuda_sources.HEADER
    + r"""
// Goes on when every block has come here. They all lie on the device at once; if not, an error ends what would stand
// still for ever. Its two numbers are zero at first and can be used again.
__device__ inline void all_blocks(const unsigned* barrier) {
  volatile unsigned* arrived = const_cast<unsigned*>(barrier);
  volatile unsigned* rounds = arrived + 1;
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned round = *rounds;
    __threadfence();
    if (atomicAdd(const_cast<unsigned*>(barrier), 1u) == gridDim.x - 1) {
      *arrived = 0;
      __threadfence();
      *rounds = round + 1;
    } else {
      for (unsigned turns = 0; *rounds == round; turns++)
        if (turns == 1u << 24) __trap();  // some ten seconds
    }
    __threadfence();
  }
  __syncthreads();
}

// rows (ROWS, IN) = norm(x), a warp for each row.
template <typename T, int ROWS, int IN>
__device__ inline void stage_normed(const T* x, const T* gamma, const T* beta, T* rows) {
  const int lane = threadIdx.x % 32;
  for (int r = threadIdx.x / 32; r < ROWS; r += blockDim.x / 32) {
    Eight<T> own[IN / 256];
    float sum = 0, squares = 0;
#pragma unroll
    for (int c = 0; c < IN / 256; c++) {
      own[c] = fresh8(x + r * IN + c * 256 + lane * 8);
#pragma unroll
      for (int e = 0; e < 8; e++) sum += static_cast<float>(own[c].at[e]);
    }
    const float mean = warp_sum(sum) / IN;
#pragma unroll
    for (int c = 0; c < IN / 256; c++)
#pragma unroll
      for (int e = 0; e < 8; e++) {
        const float d = static_cast<float>(own[c].at[e]) - mean;
        squares += d * d;
      }
    const float scale = rsqrtf(warp_sum(squares) / IN + 1e-5f);
#pragma unroll
    for (int c = 0; c < IN / 256; c++) {
      const int i = c * 256 + lane * 8;
      const Eight<T> g = load8(gamma + i), b = load8(beta + i);
#pragma unroll
      for (int e = 0; e < 8; e++) {
        const float v = (static_cast<float>(own[c].at[e]) - mean) * scale;
        own[c].at[e] = static_cast<T>(v * static_cast<float>(g.at[e]) + static_cast<float>(b.at[e]));
      }
      *reinterpret_cast<Eight<T>*>(rows + r * IN + i) = own[c];
    }
  }
}

// Rows times W^T for weights (OUT, IN): a warp makes one output of all rows at once, so weights are read once.
template <typename T, int IN, int OUT, int WARPS> struct Product {
  static constexpr int CHUNKS = IN / 256, EACH = (OUT + WARPS - 1) / WARPS;
  static constexpr int GROUP = CHUNKS >= 16 ? 1 : EACH < 16 / CHUNKS ? EACH : 16 / CHUNKS;  // outputs held at once
  static constexpr int GROUPS = (EACH + GROUP - 1) / GROUP;
  Eight<T> held[GROUP][CHUNKS];

  __device__ int output(int group, int p) const {
    return (group * GROUP + p) * WARPS + blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  }

  __device__ void fetch(const T* weight, int group = 0) {
#pragma unroll
    for (int p = 0; p < GROUP; p++) {
      const int o = min(output(group, p), OUT - 1);
#pragma unroll
      for (int c = 0; c < CHUNKS; c++)
        held[p][c] = load8(weight + static_cast<size_t>(o) * IN + c * 256 + threadIdx.x % 32 * 8);
    }
  }

  // After `fetch`. `stage(rows, first)` puts PIECE inputs of each row from the first on into shared memory, and
  // `store(r, o, value)` is called by one thread for each output.
  template <int ROWS, int PIECE, typename Stage, typename Store>
  __device__ void run(const T* weight, T* rows, Stage stage, Store store) {
    const int lane = threadIdx.x % 32;
    for (int group = 0; group < GROUPS; group++) {
      if (group > 0) fetch(weight, group);
      float acc[GROUP][ROWS];
#pragma unroll
      for (int p = 0; p < GROUP; p++)
#pragma unroll
        for (int r = 0; r < ROWS; r++) acc[p][r] = 0;
#pragma unroll
      for (int first = 0; first < IN; first += PIECE) {
        if (group == 0 || PIECE < IN) {
          __syncthreads();
          stage(rows, first);
          __syncthreads();
        }
#pragma unroll
        for (int c = first / 256; c < (first + PIECE) / 256; c++)
#pragma unroll
          for (int r = 0; r < ROWS; r++) {
            const Eight<T> x = load8(rows + r * PIECE + c * 256 - first + lane * 8);
#pragma unroll
            for (int p = 0; p < GROUP; p++) acc[p][r] += dot8(held[p][c], x);
          }
      }
#pragma unroll
      for (int p = 0; p < GROUP; p++)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
          const float v = warp_sum(acc[p][r]);
          if (lane == 0 && output(group, p) < OUT) store(r, output(group, p), v);
        }
    }
  }
};
"""
)

PROJECT: Final = r"""
  __shared__ alignas(16) T rows[ROWS * IN];
  Product<T, IN, OUT, WARPS> product;
  product.fetch(weight);
  product.template run<ROWS, IN>(
      weight, rows, [&](T* to, int) { stage_normed<T, ROWS, IN>(x, gamma, beta, to); },
      [&](int r, int o, float v) { out[r * OUT + o] = static_cast<T>(v); });
"""

LAYER: Final = r"""
  constexpr int WIDTH = HEADS * 64, WARPS = BLOCKS * 8, PIECE = ROWS > 4 ? 2048 : 4096;
  // What of FFN lies in shared memory at once: a part of equal size, in multiples of 256.
  constexpr int STAGED = FFN <= PIECE ? FFN : FFN % PIECE == 0 ? PIECE : FFN / 4;
  __shared__ alignas(16) T rows[ROWS * (STAGED > WIDTH ? STAGED : WIDTH)];
  __shared__ Found found;
  T* const triple = scratch;
  T* const mixed = triple + ROWS * 3 * WIDTH;
  T* const state = mixed + ROWS * WIDTH;
  T* const queries = state + ROWS * WIDTH;
  T* const wide = queries + ROWS * WIDTH;
  const auto copy = [](T* to, const T* from, int width, int from_input, int piece, int count) {
    for (int i = threadIdx.x * 8; i < count * piece; i += blockDim.x * 8)
      *reinterpret_cast<Eight<T>*>(to + i) = fresh8(from + i / piece * width + from_input + i % piece);
  };

  Product<T, WIDTH, 3 * WIDTH, WARPS> qkv_product;
  qkv_product.fetch(qkv);
  qkv_product.template run<ROWS, WIDTH>(
      qkv, rows, [&](T* to, int) { stage_normed<T, ROWS, WIDTH>(x, gamma_1, beta_1, to); },
      [&](int r, int o, float v) { triple[r * 3 * WIDTH + o] = static_cast<T>(v); });

  Product<T, WIDTH, WIDTH, WARPS> out_product;
  out_product.fetch(out_1);
  all_blocks(barrier);
  for (int pair = blockIdx.x; pair < ROWS * HEADS; pair += gridDim.x) {
    const size_t slab = static_cast<size_t>(pair) * sizes[1] * 64;
    __syncthreads();
    attend_and_keep<T, 8>(
        triple + pair / HEADS * 3 * WIDTH + pair % HEADS * 64, WIDTH, keys + slab, values + slab, clock[0], found,
        mixed + pair * 64);
  }
  all_blocks(barrier);
  out_product.template run<ROWS, WIDTH>(
      out_1, rows, [&](T* to, int) { copy(to, mixed, WIDTH, 0, WIDTH, ROWS); },
      [&](int r, int o, float v) {
        state[r * WIDTH + o] = static_cast<T>(v + static_cast<float>(x[r * WIDTH + o]));
      });

  if constexpr (TEXTS > 0) {
    Product<T, WIDTH, WIDTH, WARPS> query_product, text_product;
    query_product.fetch(query);
    all_blocks(barrier);
    query_product.template run<TEXTS, WIDTH>(
        query, rows, [&](T* to, int) { stage_normed<T, TEXTS, WIDTH>(state, gamma_2, beta_2, to); },
        [&](int r, int o, float v) { queries[r * WIDTH + o] = static_cast<T>(v); });
    text_product.fetch(out_2);
    all_blocks(barrier);
    for (int pair = blockIdx.x; pair < TEXTS * HEADS; pair += gridDim.x) {
      const size_t slab = static_cast<size_t>(pair) * sizes[4] * 64;
      const Eight<T> q = fresh8(queries + pair * 64 + threadIdx.x % 8 * 8);
      __syncthreads();
      attention<T, 2>(
          q, text_keys + slab, text_values + slab, lengths[pair / HEADS], Running(), found, mixed + pair * 64);
    }
    all_blocks(barrier);
    // Rows after these have no text and take nothing from it.
    text_product.template run<TEXTS, WIDTH>(
        out_2, rows, [&](T* to, int) { copy(to, mixed, WIDTH, 0, WIDTH, TEXTS); },
        [&](int r, int o, float v) {
          const float before = static_cast<float>(__ldcg(state + r * WIDTH + o));
          state[r * WIDTH + o] = static_cast<T>(v + before);
        });
  }

  Product<T, WIDTH, FFN, WARPS> up;
  up.fetch(fc_1);
  all_blocks(barrier);
  up.template run<ROWS, WIDTH>(
      fc_1, rows, [&](T* to, int) { stage_normed<T, ROWS, WIDTH>(state, gamma_3, beta_3, to); },
      [&](int r, int o, float v) {
        wide[r * FFN + o] = static_cast<T>(0.5f * v * (1.0f + erff(v * 0.70710678f)));
      });

  Product<T, FFN, WIDTH, WARPS> down;
  down.fetch(fc_2);
  all_blocks(barrier);
  down.template run<ROWS, STAGED>(
      fc_2, rows, [&](T* to, int from) { copy(to, wide, FFN, from, STAGED, ROWS); },
      [&](int r, int o, float v) {
        out[r * WIDTH + o] = static_cast<T>(v + static_cast<float>(__ldcg(state + r * WIDTH + o)));
      });
"""
