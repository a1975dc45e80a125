"""Which models are loaded with which settings, and how a llama-server is told so."""

from __future__ import annotations

from dataclasses import dataclass

from plugins.module_utils.memory_settings import OLLAMA, Settings
from tests.engines.scenarios import VERSIONS

ENCODERS = ("bert",)
SMALL = (
    "llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3", "gpt-oss", "deepseek2", "qwen35", "falcon-h1", "mamba2", "lfm2",
    *ENCODERS,
)  # fmt: skip
# The one real model among them: memory only, it is no chat model and comes under the Gemma terms.
REAL = "gemma3-270m"


@dataclass(frozen=True)
class Case:
    """A model and what decides its memory; `context_tokens` of one sequence. None: what the engine takes by itself."""

    model: str
    context_tokens: int = 8192
    parallel: int = 1
    ubatch_tokens: int | None = None
    flash: str = "auto"
    kv_type: str = "f16"
    unified: bool = False
    swa_full: bool = False
    mmap: bool = False
    embeddings: bool = False

    def __str__(self) -> str:
        given = [f"{key}={value}" for key, value in vars(self).items() if value != getattr(Case(""), key) and key != "model"]
        return "-".join([self.model, *given])

    @property
    def embedding(self) -> bool:
        return self.embeddings or self.model in ENCODERS

    def for_llama_cpp(self) -> Settings:
        batch = max(2048, self.ubatch_tokens or 0) if not self.embedding else self.context_tokens
        return Settings(
            context_tokens=self.context_tokens // self.parallel if self.unified else self.context_tokens,
            parallel=self.parallel,
            batch_tokens=batch,
            ubatch_tokens=self.ubatch_tokens or (batch if self.embedding else 512),
            flash_attention=self.flash,
            kv_type_k=self.kv_type,
            kv_type_v=self.kv_type,
            kv_unified=self.unified,
            swa_full=self.swa_full,
            mmap=self.mmap,
            embedding=self.embedding,
        )

    def for_ollama(self, version: str) -> Settings:
        return Settings(
            context_tokens=self.context_tokens,
            parallel=self.parallel,
            flash_attention=self.flash,
            kv_type_k=self.kv_type,
            kv_type_v=self.kv_type,
            embedding=self.embedding,
            engine=OLLAMA,
            engine_version=version,
        )

    def arguments(self) -> list[str]:
        """The same as llama-server's command line."""
        settings = self.for_llama_cpp()
        total = self.context_tokens if self.unified else self.context_tokens * self.parallel
        said = [
            "--ctx-size", total, "--parallel", self.parallel, "--batch-size", settings.batch_tokens,
            "--ubatch-size", settings.ubatch_tokens, "--flash-attn", self.flash, "--cache-type-k", self.kv_type,
            "--cache-type-v", self.kv_type, "--load-mode", "mmap" if self.mmap else "none",
        ]  # fmt: skip
        flags = {"--kv-unified": self.unified, "--swa-full": self.swa_full, "--embedding": self.embedding}
        return [*map(str, said), *(flag for flag, wanted in flags.items() if wanted)]


def base(model: str) -> Case:
    return Case(model, 512 if model in ENCODERS else 8192)


LLAMA_CPP = (
    *map(base, SMALL),
    Case("llama", 32768, ubatch_tokens=2048),
    Case("llama", 16384, parallel=4, unified=True),
    Case("llama", mmap=True),
    Case("qwen2", kv_type="q4_0"),
    Case("qwen3", 4000, parallel=3),
    Case("qwen3", kv_type="q8_0"),
    Case("qwen3", mmap=True),
    Case("qwen3", 4096, embeddings=True),
    Case("qwen3moe", ubatch_tokens=1024),
    Case("gemma3", 4096, parallel=3),
    Case("gemma3", flash="off"),
    Case("gemma3", swa_full=True),
    Case("gemma3", 16384, parallel=2, unified=True),
    Case("phi3", flash="off", ubatch_tokens=1024),
    Case("gpt-oss", 16384, ubatch_tokens=2048),
    Case("deepseek2", flash="off"),
    Case("qwen35", parallel=4),
    Case("falcon-h1", parallel=2),
    Case("mamba2", parallel=2),
    Case("lfm2", 32768, kv_type="q8_0"),
    Case(REAL),
    Case(REAL, 32768, ubatch_tokens=1024),
    Case(REAL, 4096, parallel=2, kv_type="q8_0"),
)


@dataclass(frozen=True)
class Setup:
    """How an Ollama is started, and what is loaded into it."""

    version: str
    settings: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...]

    def __str__(self) -> str:
        return "-".join([self.version, *(value for _name, value in self.settings)])


def narrow(model: str) -> Case:
    return Case(model, 512 if model in ENCODERS else 4096)


# Automatic batches of 512, 1024 and 2048 tokens in v0.33.
DEFAULTS = (
    *map(narrow, (*SMALL, REAL)),
    Case("gpt-oss", 16384),
    Case("qwen3", 16384),
    Case("gemma3", 40960),
    Case("llama", 40960),
)
# The families that serve one sequence at once stay at one.
PARALLEL = (
    *(Case(model, 4096, parallel=3, kv_type="q8_0", flash="on") for model in ("llama", "qwen3", "gemma3", "gpt-oss")),
    *(Case(model, 4096, kv_type="q8_0", flash="on") for model in ("qwen35", "lfm2")),
)
PLAIN = tuple(Case(model, 4096, flash="off") for model in ("llama", "qwen2", "gemma3", "deepseek2"))
SETUPS = tuple(
    Setup(version, settings, cases)
    for version in VERSIONS
    for settings, cases in (
        ((), DEFAULTS),
        ((("OLLAMA_NUM_PARALLEL", "3"), ("OLLAMA_KV_CACHE_TYPE", "q8_0"), ("OLLAMA_FLASH_ATTENTION", "1")), PARALLEL),
        ((("OLLAMA_FLASH_ATTENTION", "0"),), PLAIN),
    )
)
