"""Fits the CPU and GPU baselines and prints their errors; the same data give the same constants.

    python benchmarks/fit_baselines.py [--data FOLDER]      fit, print errors, compare with the table
    python benchmarks/fit_baselines.py --write              write sim/cost/spgemm_fit.csv
    python benchmarks/fit_baselines.py --measure --data F   time MKL on this host again (some minutes)

CPU: MKL's times on one host (``mkl_measured.csv``, one thread, fastest of repeats since other load
only adds) by non-negative least squares on relative errors; held out: leave one matrix out.

GPU: cuSPARSE's times on an H100 (``h100_cusparse_spgemm.csv`` of the data folder). Many of its points
were slowed by other load: equal products differ up to 80-fold. So the error is taken as a
mixture: an undisturbed point scatters normally, a disturbed one is later on top of that, by an
exponentially distributed log factor; constants and mixture are fitted together by maximum likelihood. Structure is
not in that file: multiplies are taken as max(nnz^2/n, nnz(C)), exact for rows of equal length.
Held out: tenfold over matrices, and ``h100_cusparse_larger.csv``, which no fit has seen.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import importlib.metadata
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls
from scipy.special import log_ndtr

from siloom.models import _mkl
from siloom.models._cpu_spgemm import FITTED, LINE_BYTES, core_share, core_terms, memory_bytes
from siloom.models._gpu_spgemm import SECTOR_BYTES, Board, cusparse_stages
from siloom.models._host_kernels import narrow
from siloom.models._sparse_library import ELEMENT_BYTES, ProductCounts, count_product, lines_beyond
from siloom.sim.cost import table
from siloom.sim.ops import SpGEMM
from siloom.sim.sparse import Csr

Reals = NDArray[np.float64]
HERE = Path(__file__).resolve().parent
MEASURED = HERE / "mkl_measured.csv"
LARGER = HERE / "h100_cusparse_larger.csv"
TABLE = HERE.parent / "sim" / "cost" / "spgemm_fit.csv"
GPU_CONSTANTS = ("overhead_s", "allocation_s", "cycles_per_product", "cycles_per_result")


@dataclass(frozen=True)
class Errors:
    """Median and 90th percentile of |ln(model / measured)|."""

    median: float
    p90: float

    @classmethod
    def of(cls, log_ratio: Reals) -> Errors:
        """From the log ratios of all points."""
        return cls(float(np.median(np.abs(log_ratio))), float(np.quantile(np.abs(log_ratio), 0.9)))

    def __str__(self) -> str:
        return f"median {self.median:.3f}, 90 % {self.p90:.3f}"


def read_csv(text: str) -> list[dict[str, str]]:
    """Rows of a CSV text; lines that begin with # are comments."""
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


# --- CPU ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """The host that MKL was measured on; sizes in bytes, rates in SI units."""

    clock_hz: float
    l1_bytes: float
    l2_bytes: float
    copy_bytes_per_s: float


@dataclass(frozen=True)
class CpuPoint:
    """One measured product."""

    counts: ProductCounts
    near_lines: int
    far_lines: int
    first_lines: int
    one_thread_s: float
    two_threads_s: float

    def memory_s(self, host: Host) -> float:
        """Time of memory traffic; this host's last-level cache holds every B."""
        return sum(memory_bytes(self.counts, self.first_lines).values()) / host.copy_bytes_per_s


def read_cpu(text: str) -> tuple[Host, list[str], list[CpuPoint]]:
    """Host, names and points of ``mkl_measured.csv``."""
    head = next(line for line in text.splitlines() if line.startswith("# host:"))
    host = Host(**{k: float(v) for k, v in (item.split("=") for item in head.removeprefix("# host:").split())})
    rows = read_csv(text)
    points = [
        CpuPoint(
            ProductCounts(*(int(row[f]) for f in ProductCounts.__dataclass_fields__)),
            int(row["near_lines"]),
            int(row["far_lines"]),
            int(row["first_lines"]),
            float(row["one_thread_ms"]) * 1e-3,
            float(row["two_threads_ms"]) * 1e-3,
        )
        for row in rows
    ]
    return host, [row["matrix"] for row in rows], points


def fit_cpu(host: Host, points: list[CpuPoint]) -> Reals:
    """The constants of :data:`FITTED`: seconds, then cycles; all at or above zero."""
    unit = np.array([1.0] + [1.0 / host.clock_hz] * (len(FITTED) - 1))
    terms = np.array([core_terms(p.counts, host.l1_bytes, p.near_lines, p.far_lines) * unit for p in points])
    seconds = np.array([p.one_thread_s for p in points])
    rest = seconds - np.array([p.memory_s(host) for p in points])
    found, _ = nnls(terms / seconds[:, None], rest / seconds)
    return np.asarray(found)


def predict_cpu(constants: Reals, host: Host, point: CpuPoint, cores: int = 1, serial_share: float = 0.0) -> float:
    """Seconds of a product on ``cores`` of the host."""
    work = core_terms(point.counts, host.l1_bytes, point.near_lines, point.far_lines) * constants
    shared = work[1:].sum() * core_share(point.counts, cores, serial_share)
    return float(work[0] + shared / host.clock_hz + point.memory_s(host))


def fit_serial_share(points: list[CpuPoint]) -> float:
    """Share of the time that a second thread does not shorten: lower quartile over products above 1 ms.

    The lower quartile, since other load on a host of two cores lengthens the run on both far more.
    """
    shares = []
    for point in points:
        split = core_share(point.counts, 2, 0.0)
        if point.one_thread_s > 1e-3 and split < 0.9:
            shares.append((point.two_threads_s / point.one_thread_s - split) / (1.0 - split))
    return float(np.clip(np.quantile(shares, 0.25), 0.0, 1.0))


def report_cpu(text: str) -> dict[str, float]:
    """Fit, print errors, return the rows of the table."""
    host, names, points = read_cpu(text)
    constants = rounded(fit_cpu(host, points))
    one = np.array([np.log(predict_cpu(constants, host, p) / p.one_thread_s) for p in points])
    serial = float(rounded(np.array([fit_serial_share(points)]))[0])
    two = np.array([np.log(predict_cpu(constants, host, p, 2, serial) / p.two_threads_s) for p in points])
    held = []
    for i, point in enumerate(points):
        others = fit_cpu(host, points[:i] + points[i + 1 :])
        held.append(np.log(predict_cpu(others, host, point) / point.one_thread_s))
    inside, outside = Errors.of(one), Errors.of(np.array(held))
    print(f"MKL on one core of the host, {len(points)} matrices: |ln(model/measured)|")
    print(f"  in sample: {inside}\n  leave one out: {outside}; worst {names[int(np.argmax(np.abs(held)))]}")
    print(f"  two threads, with a serial share of {serial:.3g} (host shared while measured): {Errors.of(two)}")
    for name, value in zip(FITTED, constants, strict=True):
        print(f"  {name:28s} {value:.4g}")
    return {
        **dict(zip(FITTED, map(float, constants), strict=True)),
        "serial_share": serial,
        "error_median": inside.median,
        "error_p90": inside.p90,
        "error_median_held_out": outside.median,
        "error_p90_held_out": outside.p90,
    }


# --- GPU ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GpuData:
    """Measured products with the model's terms: ``terms`` [points, 4] times constants, plus ``bytes_s``."""

    names: tuple[str, ...]
    products: Reals
    terms: Reals
    bytes_s: Reals
    seconds: Reals

    def predict(self, constants: Reals, threshold: float) -> Reals:
        """Seconds of every point; the second constant applies above ``threshold`` products."""
        terms = self.terms.copy()
        terms[:, 1] = self.products > threshold
        return np.asarray(terms @ constants + self.bytes_s)

    def take(self, which: NDArray[np.bool_]) -> GpuData:
        """The points where ``which`` is true."""
        names = tuple(name for name, use in zip(self.names, which, strict=True) if use)
        return GpuData(names, self.products[which], self.terms[which], self.bytes_s[which], self.seconds[which])


def read_gpu(text: str) -> GpuData:
    """Points of an H100 file, with the terms that :func:`cusparse_stages` gives them."""
    device = {name: e.value for (owner, name), e in table("devices").items() if owner == "h100"}
    board = Board(int(device["sms"]), device["l2_bytes"], device["memory_bytes"], 0, 0, 0, 0, 0, 0)
    rate = device["sms"] * device["clock_hz"]
    bandwidth = device["bandwidth_bytes_per_s"] * device["stream_efficiency"]
    rows = read_csv(text)
    products, terms, bytes_s = [], [], []
    for row in rows:
        n, nnz, results = int(row["n"]), int(row["nnz"]), int(row["nnz_c"])
        made = int(row.get("products") or max(results, round(nnz * nnz / n)))
        counts = ProductCounts(n, n, n, nnz, nnz, made, results, -(-made // n))
        # The L2 cache holds each of these B: its rows come in once.
        lines = nnz * ELEMENT_BYTES // SECTOR_BYTES

        def cycles(board: Board, counts: ProductCounts = counts, lines: int = lines) -> float:
            return sum(s.sm_cycles for s in cusparse_stages(counts, lines, board)) / rate

        products.append(made)
        terms.append(
            [
                1.0,
                0.0,
                cycles(replace(board, cycles_per_product=1.0)),
                cycles(replace(board, cycles_per_result=1.0)),
            ]
        )
        bytes_s.append(sum(s.bytes_moved for s in cusparse_stages(counts, lines, board)) / bandwidth)
    return GpuData(
        tuple(row["matrix"] for row in rows),
        np.array(products, dtype=float),
        np.array(terms),
        np.array(bytes_s),
        np.array([float(row["milliseconds"]) * 1e-3 for row in rows]),
    )


def densities(parameters: Reals, threshold: float, data: GpuData) -> tuple[Reals, Reals]:
    """Likelihood of each point as an undisturbed and as a disturbed one, both with their shares.

    ``parameters`` are logarithms: the four constants, the normal scatter of the fixed time and of
    the work on top of it, the mean log delay; the last is the log odds of a disturbance.
    """
    constants = np.exp(parameters[:4])
    floor_spread, work_spread, delay = np.exp(parameters[4:7])
    disturbed = 1.0 / (1.0 + np.exp(-parameters[7]))
    modelled = data.predict(constants, threshold)
    late = np.log(data.seconds / modelled)
    spread = floor_spread + work_spread * (1.0 - constants[0] / modelled)
    normal = np.exp(-0.5 * (late / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    # Normal scatter plus an exponential delay: smooth, so that the descent has one foot.
    ratio = spread / delay
    tail = np.exp(0.5 * ratio**2 - late / delay + log_ndtr(late / spread - ratio)) / delay
    return (1 - disturbed) * normal, disturbed * tail


def loss(parameters: Reals, threshold: float, data: GpuData) -> float:
    """Negative log likelihood of the mixture."""
    return float(-np.log(sum(densities(parameters, threshold, data)) + 1e-12).sum())


def descend(start: Reals, threshold: float, data: GpuData) -> tuple[float, Reals]:
    """Downhill simplex, then gradients to the foot; deterministic."""
    simplex = minimize(loss, start, (threshold, data), "Nelder-Mead", options={"maxiter": 3000, "maxfev": 6000})
    found = minimize(loss, simplex.x, (threshold, data), "BFGS", options={"gtol": 1e-4})
    return float(found.fun), found.x


START = np.append(np.log(np.array([2e-4, 1e-4, 20.0, 100.0, 0.03, 0.3, 1.5])), 0.0)
THRESHOLDS = tuple(2**20 / size for size in (64, 48, 32, 24, 16, 12, 8))
"""Products at which a work buffer of so many bytes each outgrows 1 MiB."""


def fit_gpu(data: GpuData) -> tuple[Reals, float, Reals]:
    """Constants of :data:`GPU_CONSTANTS`, the threshold, and all eight log parameters."""
    fits = [(descend(START, threshold, data), threshold) for threshold in THRESHOLDS]
    (_, parameters), threshold = min(fits, key=lambda fit: fit[0][0])
    return np.exp(parameters[:4]), threshold, parameters


def report_gpu(text: str, larger: str) -> dict[str, float]:
    """Fit, print errors, return the rows of the table."""
    data = read_gpu(text)
    constants, threshold, parameters = fit_gpu(data)
    constants, threshold = rounded(constants), float(rounded(np.array([threshold]))[0])
    inside = np.log(data.predict(constants, threshold) / data.seconds)
    folds = {name: i % 10 for i, name in enumerate(sorted(set(data.names)))}
    fold_of = np.array([folds[name] for name in data.names])
    outside = np.empty(len(inside))
    for fold in range(10):
        out = fold_of == fold
        _, found = descend(parameters, threshold, data.take(~out))
        outside[out] = np.log(data.take(out).predict(np.exp(found[:4]), threshold) / data.seconds[out])
    unseen = read_gpu(larger)
    new = np.log(unseen.predict(constants, threshold) / unseen.seconds)
    repeats = repeat_spread(text)
    calm, late = densities(parameters, threshold, data)
    clean = calm > late
    print(f"cuSPARSE on H100, {len(inside)} points of {len(folds)} matrices: |ln(model/measured)|")
    print(f"  in sample: {Errors.of(inside)}\n  tenfold held out: {Errors.of(outside)}")
    print(f"  the same for the {clean.sum()} points likelier undisturbed: {Errors.of(outside[clean])}")
    print(f"  all above {threshold:.0f} products: {Errors.of(outside[data.products > threshold])}")
    print(f"  {len(new)} larger products never fitted, multiplies known: {Errors.of(new)}")
    print(f"  the same for the faster of each matrix's two products: {Errors.of(faster(unseen, new))}")
    print(f"  for scale, one product timed twice in the fitted file: {repeats}")
    print(f"  share of disturbed points {1 / (1 + np.exp(-parameters[7])):.2f}")
    for name, value in zip(GPU_CONSTANTS, constants, strict=True):
        print(f"  {name:28s} {value:.4g}")
    print(f"  {'allocation_products':28s} {threshold:.4g}")
    errors = {
        "": Errors.of(inside),
        "_held_out": Errors.of(outside),
        "_held_out_undisturbed": Errors.of(outside[clean]),
        "_larger": Errors.of(new),
    }
    return {
        **dict(zip(GPU_CONSTANTS, map(float, constants), strict=True)),
        "allocation_products": threshold,
        **{f"error_median{k}": e.median for k, e in errors.items()},
        **{f"error_p90{k}": e.p90 for k, e in errors.items()},
    }


def repeat_spread(text: str) -> Errors:
    """How far A A and A A^T differ where they are the same product (equal counts: symmetric A)."""
    seen: dict[tuple[str, str], float] = {}
    ratios = []
    for row in read_csv(text):
        key, ms = (row["matrix"], row["nnz_c"]), float(row["milliseconds"])
        if key in seen:
            ratios.append(np.log(ms / seen[key]))
        seen[key] = ms
    return Errors.of(np.array(ratios))


def faster(data: GpuData, errors: Reals) -> Reals:
    """The errors of each matrix's point of least measured over modelled time."""
    best: dict[str, float] = {}
    for name, error in zip(data.names, errors.tolist(), strict=True):
        best[name] = max(error, best.get(name, -np.inf))
    return np.array(list(best.values()))


# --- measuring MKL --------------------------------------------------------------------------------


def draw(rows: NDArray[np.int64], cols: NDArray[np.int64], n: int) -> Any:
    """Ones at the distinct positions among those given."""
    flat = np.unique(rows * n + cols)
    return sp.coo_array((np.ones(len(flat)), (flat // n, flat % n)), shape=(n, n)).tocsr()


def uniform(n: int, degree: float) -> Any:
    """About ``degree`` non-zeros a row at uniform positions, seed 0."""
    flat = np.random.default_rng(0).integers(0, n * n, int(n * degree))
    return draw(flat // n, flat % n, n)


def banded(n: int, half: int) -> Any:
    """All diagonals within ``half`` of the main one."""
    at = np.arange(n)
    pairs = [(at[max(0, -d) : n - max(0, d)], d) for d in range(-half, half + 1)]
    return draw(np.concatenate([r for r, _ in pairs]), np.concatenate([r + d for r, d in pairs]), n)


def rmat(scale: int, edges: int) -> Any:
    """Recursive draws with probabilities .57 .19 .19 .05, seed 0."""
    rng = np.random.default_rng(0)
    rows = np.zeros(edges, np.int64)
    cols = np.zeros(edges, np.int64)
    for _ in range(scale):
        quarter = rng.choice(4, edges, p=[0.57, 0.19, 0.19, 0.05])
        rows, cols = 2 * rows + quarter // 2, 2 * cols + quarter % 2
    return draw(rows, cols, 2**scale)


def hub(n: int, degree: float) -> Any:
    """A uniform matrix with its first row and column full."""
    base = uniform(n, degree).tocoo()
    line, zero = np.arange(n), np.zeros(n, np.int64)
    return draw(np.r_[base.row, line, zero], np.r_[base.col, zero, line], n)


GENERATED: tuple[tuple[Callable[[int, Any], Any], tuple[tuple[int, float], ...]], ...] = (
    (uniform, ((1000, 4), (2000, 100), (4986, 39.9), (5000, 8), (20000, 10), (20000, 40), (50000, 4), (131072, 7.63))),
    (uniform, ((200000, 3),)),
    (banded, ((2000, 2), (20000, 8), (10000, 40), (100000, 2), (100000, 10))),
    (rmat, ((10, 8000), (12, 40000), (14, 100000), (15, 200000), (16, 150000), (17, 300000))),
    (hub, ((1000, 3), (2500, 4))),
)


def matrices(folder: Path) -> Iterator[tuple[str, Any]]:
    """The real matrices of the data folder, then the drawn ones."""
    for path in sorted(folder.glob("matrices/*.mtx*")):
        yield path.name.split(".")[0], sp.csr_array(scipy.io.mmread(path)).astype(float)
    for make, all_settings in GENERATED:
        for settings in all_settings:
            yield f"{make.__name__}-{settings[0]}-{settings[1]}", make(*settings)


def measure(folder: Path, host: Host, rounds: int) -> str:
    """Time MKL on every matrix: the text of ``mkl_measured.csv``.

    Only MKL's own call is timed, as a C program would see it: ``sparse_dot_mkl`` also copies the
    result into Python's arrays, which takes about a fifth more. The fastest run of all rounds counts.
    """
    best: dict[str, list[float]] = {}
    rows: dict[str, tuple[object, ...]] = {}
    counted = tuple(ProductCounts.__dataclass_fields__)
    for turn in range(rounds):
        for name, matrix in matrices(folder):
            a = Csr.from_scipy(matrix)
            op = SpGEMM(a=a, b=a if a.shape[0] == a.shape[1] else a.transposed)
            if name not in rows:
                counts = count_product(op)
                lines = lines_beyond(op, LINE_BYTES, host.l1_bytes, host.l2_bytes, 2.0**62)
                rows[name] = (*(getattr(counts, f) for f in counted), *lines)
            for threads in (1, 2):
                with mkl_product(op, threads) as product:
                    best.setdefault(name, [np.inf, np.inf])
                    best[name][threads - 1] = min(best[name][threads - 1], fastest(product))
            print(turn, name, *best[name], file=sys.stderr)
    out = io.StringIO()
    out.write(f"# mkl_sparse_spmm, MKL {importlib.metadata.version('mkl')}, fp64 A A (A A^T where A is not square):")
    out.write(f" fastest of 4 to 25 runs in each of {rounds} rounds\n")
    out.write("# host: " + " ".join(f"{k}={v:g}" for k, v in vars(host).items()) + "\n")
    writer = csv.writer(out, lineterminator="\n")
    header = (*counted, "near_lines", "far_lines", "first_lines", "one_thread_ms", "two_threads_ms")
    writer.writerow(("matrix", *header))
    for name, row in rows.items():
        writer.writerow((name, *row, *(f"{t * 1e3:.4g}" for t in best[name])))
    return out.getvalue()


@contextlib.contextmanager
def mkl_product(op: SpGEMM, threads: int) -> Iterator[Callable[[], float]]:
    """A function that makes the product in MKL once and returns the seconds of MKL's call."""
    # Exactly so many threads, also where other load would make MKL take fewer.
    os.environ["MKL_DYNAMIC"] = "FALSE"
    mkl = _mkl.load()
    inner = importlib.import_module("sparse_dot_mkl._sparse_sparse")
    mkl.mkl_set_num_threads(threads)
    # The arrays stay alive here: MKL's handles only point to them.
    held = narrow(op.a), narrow(op.b)
    handles = [inner._create_mkl_sparse(matrix)[0] for matrix in held]

    def product() -> float:
        start = time.perf_counter()
        result = inner._matmul_mkl(*handles)
        seconds = time.perf_counter() - start
        inner._destroy_mkl_handle(result)
        return seconds

    yield product
    for handle in handles:
        inner._destroy_mkl_handle(handle)


def fastest(run: Callable[[], float]) -> float:
    """Shortest of 4 to 25 runs within about half a second, after one that does not count."""
    run()
    times: list[float] = []
    while len(times) < 4 or (len(times) < 25 and sum(times) < 0.5):
        times.append(run())
    return min(times)


def this_host(clock_hz: float, l1_bytes: float, l2_bytes: float) -> Host:
    """This host with its copy bandwidth measured (read plus written bytes, 400 MB arrays)."""
    source, target = np.ones(50_000_000), np.empty(50_000_000)

    def copy() -> float:
        start = time.perf_counter()
        np.copyto(target, source)
        return time.perf_counter() - start

    return Host(clock_hz, l1_bytes, l2_bytes, 16 * len(source) / fastest(copy))


# --- the table ------------------------------------------------------------------------------------


def rounded(values: Reals) -> Reals:
    """Four significant digits: beyond the fit's meaning, and the same on every processor."""
    return np.array([float(f"{v:.4g}") for v in values])


def table_text(cpu: dict[str, float], gpu: dict[str, float]) -> str:
    """``sim/cost/spgemm_fit.csv``."""
    sources = {
        "mkl": (cpu, "benchmarks/mkl_measured.csv: MKL 2026.2 on one core of a host"),
        "cusparse": (gpu, "h100_cusparse_spgemm.csv: student measurement on an H100; not peer reviewed"),
    }
    out = io.StringIO()
    out.write("# Made by benchmarks/fit_baselines.py --write; errors are of |ln(model / measured)|.\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("owner", "name", "value", "unit", "source", "status"))
    for owner, (values, source) in sources.items():
        for name, value in values.items():
            if name.startswith("error"):
                writer.writerow((owner, name, f"{value:.3f}", "", source, "fitted"))
            else:
                unit = "s" if name.endswith("_s") else "cycles" if name.startswith("cycles") else ""
                writer.writerow((owner, name, f"{value:.4g}", unit, source, "fitted"))
    return out.getvalue()


def main() -> int:
    """Run the fits; exit code 1 where the table in the repository differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--clock", type=float, default=2.7e9, help="the host's clock in Hz, for --measure")
    parser.add_argument("--l1", type=float, default=48 * 1024, help="bytes, for --measure")
    parser.add_argument("--l2", type=float, default=2 * 2**20, help="bytes, for --measure")
    parser.add_argument("--rounds", type=int, default=4, help="for --measure; more where the host has other load")
    args = parser.parse_args()
    if args.measure:
        MEASURED.write_text(measure(args.data, this_host(args.clock, args.l1, args.l2), args.rounds), encoding="utf-8")
    cpu = report_cpu(MEASURED.read_text(encoding="utf-8"))
    gpu = report_gpu(
        (args.data / "h100_cusparse_spgemm.csv").read_text(encoding="utf-8"), LARGER.read_text(encoding="utf-8")
    )
    text = table_text(cpu, gpu)
    if args.write:
        TABLE.write_text(text, encoding="utf-8")
        return 0
    same = TABLE.read_text(encoding="utf-8") == text
    print("sim/cost/spgemm_fit.csv holds these values" if same else "sim/cost/spgemm_fit.csv DIFFERS from these values")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
