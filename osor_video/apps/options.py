"""The options that commands share, as typer reads them: each with its name, its place-holder and its sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path,
    typer.Argument(
        metavar="IN", help="The clip, a sequence such as frame.%04d.png, or - for standard input."
    ),
]
ClipOrProject = Annotated[
    Path,
    typer.Argument(
        metavar="IN",
        help="The clip, a sequence such as frame.%04d.png, - for standard input; or a project of the desk (.json).",
    ),
]
MaskFile = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="[FRAME=]FILE",
        help="Picture of the first frame, object white, or of frame FRAME; give several to remove several things or to "
        "correct. Or a folder of pictures by frame, or a video of masks.",
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        "--box", metavar="x,y,w,h", help="Or a box around the object, in pixels; its outline is found."
    ),
]
Polygon = Annotated[
    str | None, typer.Option("--polygon", metavar="x1,y1,...", help="Or the corners of a polygon.")
]
Points = Annotated[
    str | None,
    typer.Option("--points", metavar="x,y,...", help="Or points on the object; its outline is found."),
]
NotPoints = Annotated[
    str | None,
    typer.Option("--not-points", metavar="x,y,...", help="With --points: points that are not on it."),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes",
        help="Or boxes by frame from your own detector, taken as they are, nothing is followed: JSON such as "
        '{"frames": {"0": [[x, y, width, height], ...]}}, or COCO\'s form with images and annotations (boxes, polygons, run '
        "lengths). For faces or plates add --effects off; mask.grow widens them.",
    ),
]
BoxesLabel = Annotated[
    str | None,
    typer.Option("--boxes-label", metavar="NAME,...", help="With --boxes: only those called so."),
]
Labels = Annotated[
    str | None, typer.Option("--labels", metavar="N,N,...", help="Which labels of an indexed mask picture.")
]
FitMask = Annotated[bool, typer.Option("--fit-mask", help="Resize a mask of the same aspect to the clip.")]
ContactSheet = Annotated[
    Path | None, typer.Option("--contact-sheet", help="PNG of the frames whose mask is most in doubt.")
]
Preset = Annotated[str, typer.Option("--preset", help="fast, balanced or best.")]
PresetOrProjects = Annotated[
    str | None, typer.Option("--preset", help="fast, balanced (if not given) or best; over a project's own.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file of settings that differ.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as mask.grow=0.03.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="osor-sdxl, osor-flux, bundled, or the folder of a model; see models.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Precision = Annotated[
    str | None, typer.Option("--dtype", help="auto, float32, bfloat16 or float16, of SDXL and FLUX.")
]
Flow = Annotated[str | None, typer.Option("--flow", help="raft, or dis, which is quicker.")]
Tracker = Annotated[
    str | None,
    typer.Option("--tracker", help="auto, propagate, refined (a trained network), or sam2 (extra sam)."),
]
FlowWeights = Annotated[
    Path | None,
    typer.Option("--flow-weights", help="Another raft_small state dict in place of the package's."),
]
Fill = Annotated[
    str | None,
    typer.Option(
        "--fill",
        help="auto: real background where the shot shows it, generated elsewhere; diffusion: generated everywhere, "
        "and carried along the shot; plate: nothing generated.",
    ),
]
Effects = Annotated[
    str | None,
    typer.Option(
        "--effects", help="Shadows and reflections: auto finds them, strong fainter ones too, off none."
    ),
]
EffectMask = Annotated[
    list[str] | None,
    typer.Option(
        "--effect-mask",
        metavar="[FRAME=]FILE",
        help="Region that is to go too: a picture for the whole clip, or from FRAME on until the next; or a folder or video.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="[FRAME=]FILE", help="Region that is never touched, given likewise."),
]
GivenPlate = Annotated[
    Path | None,
    typer.Option(
        "--plate", help="Your own clean plate: a picture of the empty place, or a clip frame for frame."
    ),
]
NoiseSeed = Annotated[int | None, typer.Option("--seed", help="Seed of the noise; same seed, same bytes.")]
MasksOut = Annotated[
    Path | None,
    typer.Option("--masks-out", help="Folder for the masks as PNG, or mask.%04d.png, .tif, .exr."),
]
EffectsOut = Annotated[
    Path | None,
    typer.Option("--effects-out", help="Folder for the shadows and reflections that were found, as PNG."),
]
Report = Annotated[Path | None, typer.Option("--report", help="JSON file for the run's figures.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on where the same command was cut off; begin where there is nothing."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Throw away what an unfinished run of this output left.")
]
Preview = Annotated[int | None, typer.Option("--preview", help="Only frame N, beside its source.")]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec",
        help="h264, h265, av1, prores, prores-4444, dnxhr or ffv1; without it the source's own where it can be.",
    ),
]
Quality = Annotated[int | None, typer.Option("--quality", help="0 to 100; without it as good as the source.")]
Crf = Annotated[int | None, typer.Option("--crf", help="Or the encoder's rate factor; lower is better.")]
Lossless = Annotated[bool, typer.Option("--lossless", help="FFV1, for .mkv.")]
LosslessCheck = Annotated[
    bool,
    typer.Option(
        "--lossless-check", help="Decode what was written and hold it against the source outside the edit."
    ),
]
DropStreams = Annotated[
    bool, typer.Option("--drop-streams", help="Leave behind what the output's container cannot hold.")
]
Matte = Annotated[
    Path | None,
    typer.Option(
        "--matte",
        help="Fill and alpha to lay over the original: .mov (ProRes 4444), or matte.%04d.png, .tif, .exr.",
    ),
]
AlphaOut = Annotated[
    Path | None,
    typer.Option(
        "--alpha-out", help="Alpha of what was replaced: a folder for PNG, or alpha.%04d.png, .tif, .exr."
    ),
]
Deinterlace = Annotated[
    bool, typer.Option("--deinterlace", help="Make whole pictures of an interlaced source (bwdif).")
]
Rate = Annotated[
    str | None,
    typer.Option("--rate", metavar="N", help="Frames a second of an image sequence: 24, 24000/1001."),
]
CasesFolder = Annotated[
    Path | None,
    typer.Option("--clips", help="Folder of NAME.mp4, NAME_first.png, NAME_clean.mp4, NAME_mask.mkv."),
]
Composites = Annotated[
    Path | None,
    typer.Option(
        "--composites",
        metavar="FOLDER",
        help="Cases made on the spot of a folder laid out as DAVIS 2016: its objects on its other sequences.",
    ),
]
StillCamera = Annotated[
    Path | None,
    typer.Option(
        "--still-camera",
        metavar="CLIP",
        help="People taken out of the clip of a still camera, vtest.avi of OpenCV's samples, against its own median.",
    ),
]
Case = Annotated[list[str] | None, typer.Option("--case", help="Only this case, or sequence.")]
Speed = Annotated[bool, typer.Option("--speed", help="Frames/s and memory at 100, 200 and 400 frames.")]
Sources = Annotated[
    bool, typer.Option("--sources", help="What comes through of generated sources, judged by ffprobe.")
]
Corrections = Annotated[
    bool, typer.Option("--corrections", help="With it: once more, with a mask at each worst frame.")
]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Also write the table there.")]
Scale = Annotated[str, typer.Option("--scale", help="With it: full, or tiny for a try.")]
Davis = Annotated[
    Path | None,
    typer.Option("--davis", help="How well masks hold: a folder with JPEGImages/ and Annotations/."),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads.")]
Peers = Annotated[
    bool, typer.Option("--peers", help="Beside Telea: OSOR per frame, PatchMatch, median, flow copy.")
]
Ablations = Annotated[bool, typer.Option("--ablations", help="Also runs that leave out one part each.")]
FirstFrames = Annotated[
    int | None,
    typer.Option("--frames", min=2, help="Only the first N frames of each (--random-weights: 48)."),
]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="Folder for strips, differences and slices over time.")
]
Recognised = Annotated[
    bool,
    typer.Option("--features", help="How like the truth the hole is recognised, and how steadily; slower."),
]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="With --model osor-sdxl: its true size on a 1080p clip of --frames (48), against a plain loop over frames; for a GPU "
        "as it stands, for a processor add --frames 2 --set removal.published_raster_px=256.",
    ),
]
RandomModel = Annotated[
    Path | None,
    typer.Option(
        "--write-model",
        metavar="FOLDER",
        help="With it: only write such a model, 7 GB, for remove --model FOLDER.",
    ),
]
SpeedLengths = Annotated[
    str | None, typer.Option("--lengths", metavar="N,N,...", help="With --speed: other lengths.")
]
SpeedSize = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="With --speed: scaled to this size.")
]
RecordOut = Annotated[
    Path | None,
    typer.Option("--record", help="JSON file for the record of the edit; see verify."),
]
EmbedRecord = Annotated[
    bool, typer.Option("--embed-record", help="Also put the record into the output, among its tags.")
]
Sign = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        "--sign",
        metavar="CERT.pem KEY.pem",
        help="Sign the output with content credentials (C2PA, extra c2pa): your certificate, the ones that vouch for it behind "
        "it, and its key.",
    ),
]
AuditLog = Annotated[
    Path | None,
    typer.Option("--audit-log", help="Add one JSON line about this job, done or failed, to FILE.jsonl."),
]
Operator = Annotated[str | None, typer.Option("--operator", help="For the record: who does this.")]
Reason = Annotated[str | None, typer.Option("--reason", help="For the record: why.")]
JobsFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JOBS]",
        help="jobs.yaml, jobs.csv, or a folder of clips with masks beside them (walk.mp4, walk.mask.png).",
    ),
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Clips at a time; 1 if not given.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only check the list and show the plan.")]
WatchFolder = Annotated[
    Path | None, typer.Option("--watch", metavar="DIR", help="Take clips as they come into this folder.")
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="auto|ADDRESS", help="Work on a Ray cluster (extra cluster)."),
]
Retries = Annotated[
    int, typer.Option("--retries", min=0, help="How often a job whose worker was lost is tried again.")
]
Split = Annotated[
    int,
    typer.Option(
        "--split",
        metavar="FRAMES",
        min=0,
        help="Finish longer clips in parts of about so many frames, side by side.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="With --dry-run: the time so many would take, from finished clips."
    ),
]
Calibrate = Annotated[
    bool, typer.Option("--calibrate", help="Time the first frames of a clip, and say what all will cost.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="Say everything as JSON lines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Only errors.")]
