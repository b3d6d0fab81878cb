"""The command ``osor-video``: remove, batch, masks, verify, ui, models, bench, strip, train.

torch and all that needs it are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from osor_video import __version__
from osor_video.apps.exits import PROGRAM, spoken_errors
from osor_video.apps.inputs import (
    SeedOptions,
    check_file_target,
    check_folder_target,
    check_source,
    frame_numbers,
    load_config,
    speed_extent,
)

app = typer.Typer(
    name=PROGRAM,
    help="Remove a thing from a video clip, with its shadow and its reflection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
Flow = Annotated[str | None, typer.Option("--flow", help="auto, raft or dis.")]
Tracker = Annotated[
    str | None, typer.Option("--tracker", help="propagate, refined (a trained network), or sam2 (extra sam).")
]
FlowWeights = Annotated[Path | None, typer.Option("--flow-weights", help="A raft_small state dict.")]
Fill = Annotated[
    str | None,
    typer.Option(
        "--fill",
        help="auto: real background where the shot shows it, generated elsewhere; diffusion: generated everywhere; plate: "
        "nothing generated.",
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


def _networks(flow: str | None, flow_weights: Path | None, tracker: str | None) -> dict[str, Any]:
    """Settings by dotted key of those that follow the object; None = not given."""
    return {"flow.backend": flow, "flow.weights": flow_weights, "mask.tracker": tracker}


def _model(model: str | None, device: str | None, dtype: str | None) -> dict[str, Any]:
    """The same of the model that removes."""
    return {"removal.model": model, "removal.device": device, "removal.dtype": dtype}


models = typer.Typer(
    help="The models: which there are, fetching one, checking one.", invoke_without_command=True
)
app.add_typer(models, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def remove(
    source: ClipOrProject,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The clip to write, a sequence, or - for y4m (a PNG with --preview)."
        ),
    ],
    mask: MaskFile = None,
    box: Box = None,
    polygon: Polygon = None,
    points: Points = None,
    not_points: NotPoints = None,
    boxes: Boxes = None,
    boxes_label: BoxesLabel = None,
    labels: Labels = None,
    fit_mask: FitMask = False,
    preset: PresetOrProjects = None,
    config: ConfigFile = None,
    settings: Settings = None,
    model: Model = None,
    device: Device = None,
    dtype: Precision = None,
    flow: Flow = None,
    flow_weights: FlowWeights = None,
    tracker: Tracker = None,
    fill: Fill = None,
    effects: Effects = None,
    effect_mask: EffectMask = None,
    keep: Keep = None,
    plate: GivenPlate = None,
    seed: NoiseSeed = None,
    masks_out: MasksOut = None,
    effects_out: EffectsOut = None,
    report: Report = None,
    contact_sheet: ContactSheet = None,
    preview: Preview = None,
    codec: Codec = None,
    quality: Quality = None,
    crf: Crf = None,
    lossless: Lossless = False,
    lossless_check: LosslessCheck = False,
    drop_streams: DropStreams = False,
    matte: Matte = None,
    alpha_out: AlphaOut = None,
    deinterlace: Deinterlace = False,
    rate: Rate = None,
    record: RecordOut = None,
    embed_record: EmbedRecord = False,
    sign: Sign = None,
    audit_log: AuditLog = None,
    operator: Operator = None,
    reason: Reason = None,
    resume: Resume = False,
    restart: Restart = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Remove the marked object from the whole clip."""
    given = locals()
    with spoken_errors():
        from osor_video.apps import removal  # noqa: PLC0415  (loads cv2)
        from osor_video.apps.asked import audited_job  # noqa: PLC0415

        job = audited_job(given)
        removal.remove_clip(job) if preview is None else removal.preview_frame(job, preview)


@app.command()
def batch(
    jobs_file: JobsFile = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    jobs: Jobs = None,
    dry_run: DryRun = False,
    watch: WatchFolder = None,
    ray: Ray = None,
    retries: Retries = 2,
    split: Split = 0,
    workers: Workers = None,
    calibrate: Calibrate = False,
    json_lines: JsonLines = False,
    preset: PresetOrProjects = None,
    config: ConfigFile = None,
    settings: Settings = None,
    model: Model = None,
    device: Device = None,
    dtype: Precision = None,
    flow: Flow = None,
    tracker: Tracker = None,
    fill: Fill = None,
    codec: Codec = None,
    quality: Quality = None,
    seed: NoiseSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Remove things from many clips; what is finished is not done again."""
    given = locals()
    with spoken_errors():
        from osor_video.apps import batch as many  # noqa: PLC0415  (loads cv2)

        networks = ("model", "device", "dtype", "flow", "tracker")
        of_remove = ("preset", "config", "settings", *networks, "fill", "codec", "quality", "seed")
        typed = {name: given[name] for name in of_remove if given[name] is not None}
        how = {name: value for name, value in given.items() if name in many.HOW}
        many.run_batch(many.Asked(jobs_file, output, typed, as_json=json_lines, **how))


@app.command()
def masks(
    source: Source,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for 00000.png and so on.")],
    mask: MaskFile = None,
    box: Box = None,
    polygon: Polygon = None,
    points: Points = None,
    not_points: NotPoints = None,
    boxes: Boxes = None,
    boxes_label: BoxesLabel = None,
    labels: Labels = None,
    fit_mask: FitMask = False,
    preset: Preset = "balanced",
    config: ConfigFile = None,
    settings: Settings = None,
    flow: Flow = None,
    flow_weights: FlowWeights = None,
    tracker: Tracker = None,
    contact_sheet: ContactSheet = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Only follow the object: write its mask in every frame."""
    with spoken_errors():
        from osor_video.apps import removal  # noqa: PLC0415  (loads cv2)

        forms = (box, polygon, points, not_points, labels, fit_mask, boxes, boxes_label)
        marked = SeedOptions(tuple(mask or ()), *forms)
        marked.check()
        check_source(source, None)
        check_folder_target(output, "-o")
        extras = removal.Extras(contact_sheet=contact_sheet)
        extras.check()
        named = _networks(flow, flow_weights, tracker)
        values = load_config(preset, config, settings or [], named)
        job = removal.Job(source, marked.marks(), output, values, threads, quiet, extras)
        removal.write_masks(job)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The clip, or an audit log (.jsonl).")],
    *,
    record: Annotated[
        Path | None, typer.Option("--record", help="The record of the clip, as --record of remove wrote it.")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", metavar="CA.pem", help="Certificates that are trusted to vouch.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", help="The clip it is said to be made of, to be checked too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Say what was changed in a clip, by what and whom, and whether it is intact.

    It reads content credentials (C2PA), the record within the clip, and one beside it. Exit code 0: intact; 1: not intact; 2:
    nothing to verify.
    """
    with spoken_errors():
        from osor_video.apps.verify import verify as tell  # noqa: PLC0415  (loads torch)

        tell(file, record, trust, source, as_json)


@app.command()
def bench(
    *,
    preset: Preset = "balanced",
    config: ConfigFile = None,
    settings: Settings = None,
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Folder of NAME.mp4, NAME_first.png, NAME_clean.mp4, NAME_mask.mkv."),
    ] = None,
    composites: Annotated[
        Path | None,
        typer.Option(
            "--composites",
            metavar="FOLDER",
            help="Cases made on the spot of a folder laid out as DAVIS 2016: its objects on its other sequences.",
        ),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            "--still-camera",
            metavar="CLIP",
            help="People taken out of the clip of a still camera, vtest.avi of OpenCV's samples, against its own median.",
        ),
    ] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this case, or sequence.")] = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Frames/s and memory at 100, 200 and 400 frames.")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="What comes through of generated sources, judged by ffprobe.")
    ] = False,
    lengths: SpeedLengths = None,
    size: SpeedSize = None,
    davis: Davis = None,
    corrections: Annotated[
        bool, typer.Option("--corrections", help="With it: once more, with a mask at each worst frame.")
    ] = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write the table there.")] = None,
    peers: Peers = False,
    ablations: Ablations = False,
    frames: FirstFrames = None,
    pictures: Pictures = None,
    features: Recognised = False,
    random_weights: RandomWeights = False,
    scale: Annotated[str, typer.Option("--scale", help="With it: full, or tiny for a try.")] = "full",
    write_model: RandomModel = None,
    model: Model = None,
    device: Device = None,
    dtype: Precision = None,
    flow: Flow = None,
    flow_weights: FlowWeights = None,
    tracker: Tracker = None,
) -> None:
    """Measure quality against true clean plates, beside simple baselines."""
    with spoken_errors():
        check_file_target(markdown, "--markdown", (".md",))
        check_folder_target(pictures, "--pictures")
        check_folder_target(write_model, "--write-model")
        named = _networks(flow, flow_weights, tracker) | _model(model, device, dtype)
        values = load_config(preset, config, settings or [], named)
        from osor_video.apps import bench as benchmark  # noqa: PLC0415  (loads torch)
        from osor_video.benchmark.run import Extent  # noqa: PLC0415

        if random_weights:
            benchmark.measure_fullsize_model(values.removal, scale, frames or 48, markdown, write_model)
        elif sources:
            benchmark.measure_sources(markdown)
        elif davis is not None:
            benchmark.measure_masks(davis, case or [], values, markdown, corrections=corrections)
        elif speed:
            chosen = benchmark.chosen_cases(clips, case or [])[0]
            benchmark.measure_lengths(chosen, values, markdown, *speed_extent(lengths, size))
        elif people is not None:
            extent = Extent(peers, ablations, frames, pictures, features)
            benchmark.measure_people(people, case or [], values, preset, markdown, extent)
        else:
            extent = Extent(peers, ablations, frames, pictures, features)
            with benchmark.quality_cases(clips, composites, case or []) as cases:
                benchmark.measure_quality(cases, values, preset, markdown, extent)


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A YAML file such as configs/train/remover.yaml.")
    ],
    *,
    photos: Annotated[
        Path,
        typer.Option("--photos", "--pack", help="Folder of photographs, the backgrounds; or a data pack."),
    ],
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; one begun there goes on.")],
    cutouts: Annotated[
        Path | None,
        typer.Option(
            "--cutouts",
            help="Objects: labelled photographs, or pictures with transparency. A pack has its own.",
        ),
    ] = None,
    autoencoder: Annotated[
        Path | None, typer.Option("--autoencoder", help="Folder of the autoencoder's run.")
    ] = None,
    plates: Annotated[
        Path | None, typer.Option("--plates", help="Plates of your own: shot/, background/, mask/.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="SDXL inpainting base to fine-tune: a folder, or a name on the hub."),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Adapter to begin with (.pth, .safetensors).")
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option("--prompt-embeddings", help="Ready embeddings of the fixed prompt.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train one part of a compact model, the autoencoder, then the remover; adapters of SDXL; or a flow network."""
    with spoken_errors():
        from osor_video.apps import training  # noqa: PLC0415  (loads torch)

        folders = training.Folders(photos, output, cutouts, autoencoder, plates)
        told = training.train(config, folders, training.Weights(base, adapter, prompt), quiet)
        if not quiet:
            typer.echo(told)


@app.command()
def strip(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="The clip before.")],
    masks: Annotated[
        Path, typer.Argument(metavar="MASKS", help="Folder of --masks-out, or a video of masks.")
    ],
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The clip after.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")],
    frames: Annotated[str, typer.Option("--frames", metavar="N,N,...", help="Which frames.")] = "0",
    width: Annotated[int, typer.Option("--width", min=16, help="Width of one picture in pixels.")] = 176,
) -> None:
    """Make a picture of before, mask and after."""
    with spoken_errors():
        for path in (clip, result):
            check_source(path, output)
        check_file_target(output, "-o", (".png",))
        numbers = frame_numbers(frames)
        from osor_video.apps.pictures import write_png  # noqa: PLC0415
        from osor_video.benchmark.strip import make_strip  # noqa: PLC0415  (loads torch)

        write_png(output, make_strip(clip, masks, result, numbers, width))


@app.command()
def ui(
    clip: Annotated[
        Path | None,
        typer.Argument(metavar="[CLIP]", help="The clip, or a project; others can be opened on the page."),
    ] = None,
    *,
    host: Annotated[
        str, typer.Option("--host", help="Address to serve at; others than this machine's own let others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    upload_mb: Annotated[
        int, typer.Option("--max-upload-mb", min=1, help="Largest clip that can be dropped.")
    ] = 4096,
) -> None:
    """Open the desk in the browser: paint, preview, correct, compare."""
    with spoken_errors():
        from osor_video.apps.ui import serve  # noqa: PLC0415

        serve(clip, host, port, browser, upload_mb)


@models.callback()
def models_list(context: typer.Context) -> None:
    """List the models with a name: licence, size, whether they are here, and where."""
    if context.invoked_subcommand is None:
        with spoken_errors():
            from osor_video.apps.models import list_models  # noqa: PLC0415  (loads torch)

            list_models()


@models.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="osor-sdxl or osor-flux.")],
    *,
    quiet: Quiet = False,
) -> None:
    """Fetch a model from the hub; what has come is kept, and the same command goes on."""
    with spoken_errors():
        from osor_video.apps.models import fetch_model  # noqa: PLC0415  (loads torch)

        told = fetch_model(name, quiet)
        if not quiet:
            typer.echo(told)


@models.command("check")
def models_check(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="A model folder with reference_phase1.safetensors or ...2."),
    ],
    *,
    unmerged: Annotated[
        bool, typer.Option("--unmerged", help="With the adapter beside the base's weights.")
    ] = False,
) -> None:
    """Run a model on what a recorded run was given, and show the largest difference of every step."""
    with spoken_errors():
        from osor_video.apps.models import check_model  # noqa: PLC0415  (loads torch)

        check_model(folder, not unmerged)


def main() -> None:
    """Entry point of the command."""
    app()
