"""FFmpeg's options for each encoder: quality, speed, fields and HDR10 metadata."""

from __future__ import annotations

import os

import cv2

from osor_video.config import EncodeConfig
from osor_video.video.codecs import Target
from osor_video.video.hdr import svt_hdr
from osor_video.video.match import matched_crf
from osor_video.video.probe import SourceInfo

THREADS = 4
"""Fixed, not the machine's count: x264 and x265 write other bytes with another number of threads."""
AVX_512F = 13
"""OpenCV's number for these instructions."""
SPEED_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
SVT_PRESETS = (12, 11, 10, 9, 8, 7, 5, 4, 3, 2)
"""SVT-AV1's number for each of them."""
WORST_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63}
PRORES_PROFILES = ((25, "proxy"), (50, "lt"), (75, "standard"), (101, "hq"))
DNXHR_PROFILES = ((34, "dnxhr_lb"), (67, "dnxhr_sq"), (101, "dnxhr_hq"))
"""Quality below which a profile is taken."""
FIELD_ORDERS = {"tt": 2, "bb": 3, "tb": 4, "bt": 5}
"""FFmpeg's numbers; the first letter is the field coded first, the second the one shown first."""
INTERLACED_ENCODERS = ("libx264", "prores_ks", "ffv1")


def encoder_options(target: Target, source: SourceInfo, encode: EncodeConfig) -> tuple[dict[str, str], str]:
    """Options for the encoder, and the quality in words."""
    name = target.codec.encoder
    if name == "ffv1":
        # FFmpeg cuts no odd picture into slices.
        slices = THREADS if not any(length % 2 for length in source.size_hw) else 1
        options, told = {"level": "3", "slices": str(slices), "slicecrc": "1", "g": "1"}, "lossless"
    elif name in WORST_CRF:
        options, told = _rate_factor(target, source, encode)
    else:
        options, told = _profile(target, source, encode)
    if keeps_fields(target, source):
        options["flags"] = "+ildct+ilme" if name == "libx264" else "+ildct"
    return options, f"{target.codec.title}, {told}"


def keeps_fields(target: Target, source: SourceInfo) -> bool:
    """Whether an interlaced source stays one."""
    return source.interlaced and not source.deinterlaced and target.codec.encoder in INTERLACED_ENCODERS


def _rate_factor(target: Target, source: SourceInfo, encode: EncodeConfig) -> tuple[dict[str, str], str]:
    name = target.codec.encoder
    speed = SPEED_PRESETS.index(encode.encoder_preset)
    preset = str(SVT_PRESETS[speed]) if name == "libsvtav1" else encode.encoder_preset
    fixed = {"preset": preset} | _fixed(name, source)
    if encode.crf is not None:
        crf, why = encode.crf, ""
    elif encode.quality is not None:
        crf, why = round(WORST_CRF[name] * (1 - encode.quality / 100)), ""
    else:
        crf, why = matched_crf(source, target, tuple(fixed.items())), " to match the source"
    return fixed | {"crf": str(crf)}, f"CRF {crf}{why}"


def _fixed(name: str, source: SourceInfo) -> dict[str, str]:
    """What keeps the bytes the same on every machine, and HDR10's metadata."""
    if name == "libx264" and cv2.checkHardwareSupport(AVX_512F):
        # With AVX-512 x264's macroblock tree reads what nobody wrote: the same frames give other bytes from run to run.
        return {"x264-params": "asm=avx2"}
    if name == "libx265":
        fixed = f"log-level=none:pools={THREADS}:frame-threads=2"
        return {"x265-params": f"{fixed}:{source.hdr}" if source.hdr else fixed}
    if name == "libsvtav1":
        # Its library tells its settings on stderr, and can be silenced in no other way.
        os.environ.setdefault("SVT_LOG", "1")
        return {"svtav1-params": ":".join([f"lp={THREADS}", *([svt_hdr(source.hdr)] if source.hdr else [])])}
    return {}


def _profile(target: Target, source: SourceInfo, encode: EncodeConfig) -> tuple[dict[str, str], str]:
    """ProRes and DNxHR have profiles for quality: the one asked for, else the source's, else the best of 4:2:2."""
    quality = 100 if encode.quality is None else encode.quality
    if target.name == "dnxhr":
        if target.color.bit_depth > 8:
            profile = "dnxhr_444" if target.color.chroma_log2 == (0, 0) else "dnxhr_hqx"
        else:
            profile = next(name for below, name in DNXHR_PROFILES if quality < below)
        return {"profile": profile}, profile
    own = {"Proxy": "proxy", "LT": "lt", "Standard": "standard", "HQ": "hq", "4444": "4444", "XQ": "4444xq"}
    matched = own.get(source.profile, "") if source.codec == "prores" and encode.quality is None else ""
    if target.name == "prores-4444":
        profile = matched if matched.startswith("4444") else "4444"
    else:
        best = next(name for below, name in PRORES_PROFILES if quality < below)
        profile = matched if matched and not matched.startswith("4444") else best
    # Apple's decoders know their vendor.
    return {"profile": profile, "vendor": "apl0"}, f"profile {profile}"
