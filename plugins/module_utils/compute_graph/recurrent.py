"""Layers that keep a state instead of a cache: Mamba 1 and 2, gated delta nets, short convolutions.

Source: src/llama-graph.cpp (build_rs), src/models/mamba-base.cpp, delta-net-base.cpp, qwen35.cpp, lfm2.cpp, plamo2.cpp of
llama.cpp b10488. The copies of states that no sequence uses are left out: they are empty in the worst case.
"""

from __future__ import annotations

from .builder import Builder
from .tensors import GET_ROWS, I32, OTHER, Tensor, concat, like, made, over, view, written

# What the CUDA kernels take (ggml_backend_cuda_device_supports_op of ggml-cuda.cu).
CONVOLUTION_CHANNELS = 128
SCAN_STATES = (128, 256)
SCAN_HEAD_STEP = 16
FIRST_SCAN_STATE = 16


class State:
    """The sizes of the state of this model's recurrent layers."""

    def __init__(self, b: Builder) -> None:
        facts = b.state
        self.inner, self.size, self.groups = facts.inner_size, facts.state_size, facts.group_count
        self.ranks, self.kernel = facts.time_step_rank, facts.conv_kernel
        self.head_length = facts.head_length
        self.rolling, self.elements = facts.rolling_elements, facts.state_elements
        self.channels = self.inner + 2 * self.groups * self.size
        self.sequences = b.plan.sequences
        self.each = b.tokens // b.plan.sequences


def rows(b: Builder) -> Tensor:
    """Which state belongs to which sequence: one slice of the input for the whole graph."""
    whole = b.input("state_rows", (b.plan.sequences, 1, 1, 1), I32)
    if "state_slice" not in b.inputs:
        b.inputs["state_slice"] = view(whole, whole.ne)
    return b.inputs["state_slice"]


def no_rows(b: Builder) -> Tensor:
    """The states that no sequence uses: none, but the empty list counts where the scheduler counts what it copies."""
    if "state_rest" not in b.inputs:
        b.inputs["state_rest"] = view(rows(b), (0, 1, 1, 1))
    return b.inputs["state_rest"]


def states(b: Builder, elements: int) -> Tensor:
    """build_rs: the states of the sequences of this batch, copied out of the cache."""
    cache = b.cache
    b.graph.expand(written(cache))
    result = made(GET_ROWS, (elements, b.plan.sequences, 1, 1), (cache, rows(b), no_rows(b)))
    b.graph.expand(result)
    return result


def stored(b: Builder, value: Tensor) -> None:
    """Copy a new state into the cache."""
    b.graph.expand(written(b.cache, value))


def convolved(b: Builder, s: State, value: Tensor, channels: int, bias: bool, rolling: Tensor | None = None) -> Tensor:
    """A rolling convolution over the last tokens and these, and its activation; what rolls on is stored."""
    rolling = view(rolling or states(b, s.rolling), (s.kernel - 1, channels, s.sequences, 1))
    extended = concat(rolling, view(value, (s.each, channels, s.sequences, 1)), 0)
    stored(b, view(extended, (s.kernel - 1, channels, s.sequences, 1)))
    result = convolution(b, s, extended, channels)
    if bias:
        result = over(result, b.weight)
    return over(result)


def scan(b: Builder, s: State, x: Tensor, *others: Tensor) -> Tensor:
    """The state space recurrence: the results of all tokens and, behind them, the new states."""
    cache = view(b.cache, (s.size * s.inner, s.sequences, 1, 1))
    b.graph.expand(written(b.cache))
    elements = x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3] + s.size * s.inner * s.sequences
    result = made(OTHER, (elements, 1, 1, 1), (cache, x, *others, rows(b), no_rows(b)))
    b.graph.expand(result)
    stored(b, view(result, (s.size * s.inner, s.sequences, 1, 1)))
    return result


def mamba1(b: Builder, value: Tensor) -> Tensor:
    """build_mamba_layer."""
    s = State(b)
    both = b.linear(view(value, (b.width, s.each, s.sequences, 1)), 2 * s.inner)
    x, z = (view(both, (s.inner, s.each, s.sequences, 1)) for _index in range(2))
    x = convolved(b, s, x, s.inner, True)
    mixed = b.linear(x, s.ranks + 2 * s.size)
    step = view(mixed, (s.ranks, s.each, s.sequences, 1))
    into, out = (view(mixed, (s.size, 1, s.each, s.sequences)) for _index in range(2))
    if b.fact("ssm.dt_b_c_rms") or b.has("blk.ssm_dt_norm.weight", b.shape.architecture == "jamba"):
        step, into, out = b.norm(step), b.norm(into), b.norm(out)
    step = b.linear(step, s.inner, True)
    heads = view(x, (1, s.inner, s.each, s.sequences))
    result = scan(b, s, heads, step, b.weight, into, out)
    result.on_device = s.size == FIRST_SCAN_STATE and s.inner % CONVOLUTION_CHANNELS == 0
    y = over(view(result, (s.inner, s.each, s.sequences, 1)), over(x, b.weight))
    y = made(OTHER, y.ne, (like(z), y))
    return view(b.linear(y, b.width), (b.width, b.tokens, 1, 1))


def mamba2(b: Builder, value: Tensor) -> Tensor:
    """build_mamba2_layer."""
    s = State(b)
    length, channels = s.inner // s.ranks, s.inner + 2 * s.groups * s.size
    both = b.linear(view(value, (b.width, s.each, s.sequences, 1)), s.inner + channels + s.ranks)
    z = view(both, (length, s.ranks, s.each, s.sequences))
    mixed = convolved(b, s, view(both, (channels, s.each, s.sequences, 1)), channels, b.has("blk.ssm_conv1d.bias", True))
    x = view(mixed, (length, s.ranks, s.each, s.sequences))
    into, out = (view(mixed, (s.size, s.groups, s.each, s.sequences)) for _index in range(2))
    step = over(like(view(both, (s.ranks, s.each, s.sequences, 1))), b.weight)
    result = scan(b, s, x, step, b.weight, into, out)
    result.on_device = s.size in SCAN_STATES and length % SCAN_HEAD_STEP == 0
    y = over(view(result, x.ne), over(x, b.weight))
    y = made(OTHER, y.ne, (like(z), y))
    if b.has("blk.ssm_norm.weight", b.shape.architecture != "falcon-h1"):
        y = b.norm(view(y, (s.inner // s.groups, s.groups, s.each, s.sequences)))
    y = view(y, (s.inner, s.each, s.sequences, 1))
    return view(b.linear(y, b.width), (b.width, b.tokens, 1, 1))


def delta_net(b: Builder, value: Tensor) -> Tensor:
    """A gated delta net as Qwen 3.5 has it (build_layer_attn_linear)."""
    s = State(b)
    mixed = b.linear(value, s.channels)
    gate = b.linear(value, s.inner)
    beta = over(view(b.linear(value, s.ranks), (1, s.ranks, s.each, s.sequences)))
    alpha = view(b.linear(value, s.ranks), (s.ranks, s.each, s.sequences, 1))
    return delta_rule(b, s, mixed, gate, decay_of(b, s, alpha), beta)


def delta_net_joint(b: Builder, value: Tensor) -> Tensor:
    """As Qwen3-Next has it: one matrix for decay and beta, in older files one for everything else; heads are repeated."""
    s = State(b)
    if b.has("blk.ssm_in.weight"):
        mixed, gate = _split_of_one(b, s, value)
    else:
        mixed, gate = b.linear(value, s.channels), b.linear(value, s.inner)
    both = b.linear(value, 2 * s.ranks)
    ne = (s.ranks // s.groups, s.groups, s.each, s.sequences)
    beta = over(like(view(both, ne)))
    alpha = made(OTHER, (s.ranks, s.each, s.sequences, 1), (view(both, ne),))
    return delta_rule(b, s, mixed, gate, decay_of(b, s, alpha), beta, repeated=s.groups != s.ranks)


def _split_of_one(b: Builder, s: State, value: Tensor) -> tuple[Tensor, Tensor]:
    """Queries, keys, values and the gate from one matrix, interleaved by head."""
    own = s.inner // s.groups
    both = b.linear(value, 2 * (s.size * s.groups + s.inner))
    gate = like(view(both, (own, s.groups, s.each, s.sequences)))
    parts = [
        made(OTHER, (width * s.groups, s.each, s.sequences, 1), (view(both, (width, s.groups, s.each, s.sequences)),))
        for width in (s.size, s.size, own)
    ]
    return concat(concat(parts[0], parts[1], 0), parts[2], 0), gate


def decay_of(b: Builder, s: State, alpha: Tensor) -> Tensor:
    """How fast each head forgets, from a number of each token."""
    return view(over(over(over(alpha, b.weight)), b.weight), (1, s.ranks, s.each, s.sequences))


def delta_rule(b: Builder, s: State, mixed: Tensor, gate: Tensor, decay: Tensor, beta: Tensor, repeated: bool = False) -> Tensor:
    """Convolution, normed queries and keys, the fused recurrence, its normed results times the gate, the output matrix."""
    length = s.inner // s.ranks
    rolling = view(states(b, s.rolling), (s.kernel - 1, s.channels, s.sequences, 1))
    extended = concat(rolling, view(mixed, (s.each, s.channels, s.sequences, 1)), 0)
    stored(b, view(extended, (s.kernel - 1, s.channels, s.sequences, 1)))
    state = view(states(b, s.elements), (length, length, s.ranks, s.sequences))
    whole = over(convolution(b, s, extended, s.channels))
    q, k = (like(view(whole, (s.size, s.groups, s.each, s.sequences))) for _index in range(2))
    if repeated:
        q, k = (_repeated(s, item) for item in (q, k))
    v = view(whole, (length, s.ranks, s.each, s.sequences))
    beta = view(beta, (1, s.ranks, s.each, s.sequences))
    output = recurrence(b, s, q, k, v, decay, beta, state)
    gated = over(b.norm(output), over(view(gate, (length, s.ranks, s.each, s.sequences))))
    result = b.linear(view(gated, (s.inner, s.each, s.sequences, 1)), b.width)
    return view(result, (b.width, b.tokens, 1, 1))


def _repeated(s: State, value: Tensor) -> Tensor:
    heads = view(value, (s.size, 1, s.groups, s.each * s.sequences))
    whole = made(OTHER, (s.size, s.ranks // s.groups, s.groups, s.each * s.sequences), (heads,))
    return view(whole, (s.size, s.ranks, s.each, s.sequences))


def convolution(b: Builder, s: State, extended: Tensor, channels: int) -> Tensor:
    """ssm_conv over the last tokens and these."""
    result = made(OTHER, (channels, s.each, s.sequences, 1), (extended, b.weight))
    result.on_device = channels % CONVOLUTION_CHANNELS == 0
    return result


def recurrence(b: Builder, s: State, q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor) -> Tensor:
    """The fused gated delta net: results of all tokens and the new states in one tensor."""
    length, heads = v.ne[0], v.ne[1]
    ne = (length * heads, b.tokens + length * s.sequences, 1, 1)
    result = made(OTHER, ne, (q, k, v, decay, beta, state))
    stored(b, view(result, (length, length, heads, s.sequences)))
    return view(result, (length, heads, s.each, s.sequences))


def short_convolution(b: Builder, value: Tensor) -> Tensor:
    """The gated short convolution of LFM2."""
    kernel = int(b.fact("shortconv.l_cache") or 1)
    each, sequences, width = b.tokens // b.plan.sequences, b.plan.sequences, b.width
    parts = b.linear(view(value, (width, each, sequences, 1)), 3 * width)
    first, second, third = (view(parts, (width, each, sequences, 1)) for _index in range(3))
    gated = view(over(first, third), (each, width, sequences, 1))
    rolling = view(states(b, (kernel - 1) * width), (kernel - 1, width, sequences, 1))
    extended = concat(rolling, gated, 0)
    stored(b, view(extended, (kernel - 1, width, sequences, 1)))
    result = made(OTHER, (width, each, sequences, 1), (extended, b.weight))
    result.on_device = width % CONVOLUTION_CHANNELS == 0
    result = b.linear(over(second, result), width)
    return view(result, (width, b.tokens, 1, 1))
