"""The command ``osor-video``: remove, batch, masks, verify, ui, models, bench, strip, train.

torch and all that needs it are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from osor_video import __version__
from osor_video.apps import options
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
    source: options.ClipOrProject,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The clip to write, a sequence, or - for y4m (a PNG with --preview)."
        ),
    ],
    mask: options.MaskFile = None,
    box: options.Box = None,
    polygon: options.Polygon = None,
    points: options.Points = None,
    not_points: options.NotPoints = None,
    boxes: options.Boxes = None,
    boxes_label: options.BoxesLabel = None,
    labels: options.Labels = None,
    fit_mask: options.FitMask = False,
    preset: options.PresetOrProjects = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    flow: options.Flow = None,
    flow_weights: options.FlowWeights = None,
    tracker: options.Tracker = None,
    fill: options.Fill = None,
    effects: options.Effects = None,
    effect_mask: options.EffectMask = None,
    keep: options.Keep = None,
    plate: options.GivenPlate = None,
    seed: options.NoiseSeed = None,
    masks_out: options.MasksOut = None,
    effects_out: options.EffectsOut = None,
    report: options.Report = None,
    contact_sheet: options.ContactSheet = None,
    preview: options.Preview = None,
    codec: options.Codec = None,
    quality: options.Quality = None,
    crf: options.Crf = None,
    lossless: options.Lossless = False,
    lossless_check: options.LosslessCheck = False,
    drop_streams: options.DropStreams = False,
    matte: options.Matte = None,
    alpha_out: options.AlphaOut = None,
    deinterlace: options.Deinterlace = False,
    rate: options.Rate = None,
    record: options.RecordOut = None,
    embed_record: options.EmbedRecord = False,
    sign: options.Sign = None,
    audit_log: options.AuditLog = None,
    operator: options.Operator = None,
    reason: options.Reason = None,
    resume: options.Resume = False,
    restart: options.Restart = False,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
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
    jobs_file: options.JobsFile = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    jobs: options.Jobs = None,
    dry_run: options.DryRun = False,
    watch: options.WatchFolder = None,
    ray: options.Ray = None,
    retries: options.Retries = 2,
    split: options.Split = 0,
    workers: options.Workers = None,
    calibrate: options.Calibrate = False,
    json_lines: options.JsonLines = False,
    preset: options.PresetOrProjects = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    flow: options.Flow = None,
    tracker: options.Tracker = None,
    fill: options.Fill = None,
    codec: options.Codec = None,
    quality: options.Quality = None,
    seed: options.NoiseSeed = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
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
    source: options.Source,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for 00000.png and so on.")],
    mask: options.MaskFile = None,
    box: options.Box = None,
    polygon: options.Polygon = None,
    points: options.Points = None,
    not_points: options.NotPoints = None,
    boxes: options.Boxes = None,
    boxes_label: options.BoxesLabel = None,
    labels: options.Labels = None,
    fit_mask: options.FitMask = False,
    preset: options.Preset = "balanced",
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    flow: options.Flow = None,
    flow_weights: options.FlowWeights = None,
    tracker: options.Tracker = None,
    contact_sheet: options.ContactSheet = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
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
    preset: options.Preset = "balanced",
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    clips: options.CasesFolder = None,
    composites: options.Composites = None,
    people: options.StillCamera = None,
    case: options.Case = None,
    speed: options.Speed = False,
    sources: options.Sources = False,
    lengths: options.SpeedLengths = None,
    size: options.SpeedSize = None,
    davis: options.Davis = None,
    corrections: options.Corrections = False,
    markdown: options.Markdown = None,
    peers: options.Peers = False,
    ablations: options.Ablations = False,
    frames: options.FirstFrames = None,
    pictures: options.Pictures = None,
    features: options.Recognised = False,
    random_weights: options.RandomWeights = False,
    scale: options.Scale = "full",
    write_model: options.RandomModel = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Precision = None,
    flow: options.Flow = None,
    flow_weights: options.FlowWeights = None,
    tracker: options.Tracker = None,
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
    begin: Annotated[
        Path | None,
        typer.Option(
            "--begin", help="Compact model to train on (alpha, remover), in place of --autoencoder."
        ),
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
    quiet: options.Quiet = False,
) -> None:
    """Train one part of a compact model, the autoencoder, then the remover; adapters of SDXL; or a flow network."""
    with spoken_errors():
        from osor_video.apps import training  # noqa: PLC0415  (loads torch)

        folders = training.Folders(photos, output, cutouts, autoencoder, plates, begin)
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
    quiet: options.Quiet = False,
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
