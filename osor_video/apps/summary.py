"""The few lines at the end of a run."""

from __future__ import annotations

from osor_video.apps.doubts import doubts
from osor_video.report import RunReport

SHOWN_FRAMES = 12


def summary(report: RunReport) -> str:
    """What was done and how well, a line each."""
    height, width = report.size_hw
    lines = [
        (
            "frames",
            f"{report.frames}, {width}x{height}; {report.wall_s:.1f} s, {report.frames_per_s:.1f} frames/s",
        ),
        ("flow", report.flow),
        ("model", f"{report.model}, fill {report.fill}"),
        ("decoder", report.decoder),
        (
            "hole",
            f"{report.borrowed:.0%} real background of the shot; {report.replaced:.1%} of pixels change",
        ),
        *([("unseen", _unseen_line(report))] if report.unseen else []),
        ("mask", _mask_line(report)),
    ]
    lines += [("", line) for line in doubts(report.mask_scores)]
    if report.cuts:
        lines.append(("cuts", _cuts_line(report)))
    if report.peak_memory_mb is not None:
        lines.append(("memory", f"{report.peak_memory_mb:.0f} MiB at most"))
    lines.append(("outside", _outside_line(report)))
    if report.encoded:
        lines.append(("encoded", report.encoded))
    lines += [("note", note) for note in report.notes]
    lines.append(("written", report.output))
    return "\n".join(f"{name:<9}{text}" for name, text in lines)


def _outside_line(report: RunReport) -> str:
    """How far the samples that were to stay moved."""
    line = f"max difference: {report.outside_max_difference:g} before encoding"
    if report.decoded_max_difference is not None:
        line += f", {report.decoded_max_difference:g} in the file as it decodes"
    return line


def _unseen_line(report: RunReport) -> str:
    """What no frame shows of the hole, and what was done there."""
    worst = max(report.unseen, key=lambda frame: report.unseen[frame])
    made = "interpolated from its rim, nothing is generated" if report.fill == "plate" else "generated"
    return (
        f"{len(report.unseen)} of {report.frames} frames have places that no frame shows, at most "
        f"{report.unseen[worst]:.0%} of the hole (frame {worst}): {made}"
    )


def _mask_line(report: RunReport) -> str:
    scores = report.mask_scores
    line = f"score {sum(scores) / len(scores):.2f} on average, {min(scores):.2f} at least"
    doubtful = len(report.doubtful())
    if doubtful:
        line += f"; {doubtful} of {len(scores)} frames in doubt (--contact-sheet FILE.png shows the worst)"
    return line


def _cuts_line(report: RunReport) -> str:
    line = f"new shots at frames {_listed(report.cuts)}"
    if report.untouched:
        frame = report.untouched[0]
        line += (
            f"; nothing is touched in the shots that begin at {_listed(report.untouched)} "
            f"(a mask in such a shot goes on there: --mask {frame}=FILE.png)"
        )
    return line


def _listed(frames: list[int]) -> str:
    """``3, 4, 5`` or, for many, the first ones and how many more."""
    text = ", ".join(str(frame) for frame in frames[:SHOWN_FRAMES])
    return text if len(frames) <= SHOWN_FRAMES else f"{text} and {len(frames) - SHOWN_FRAMES} more"
