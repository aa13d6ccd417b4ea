"""NIH ChestX-ray14 as its publisher keeps it: addresses, sizes and checksums; fetched part by part, and unpacked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from data.downloads.fetch import Remote, fetch
from data.downloads.files import require_room
from data.downloads.unpack import unpack
from synthworth.artifacts import ensure_folder
from synthworth.errors import UserError

PAGE = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
STATIC = "https://nihcc.box.com/shared/static/{}.gz"
SHARED = "https://nihcc.app.box.com/index.php?rm=box_download_shared_file&vanity_name=ChestXray-NIHCC&file_id=f_{}"
MAX_FILES = 20_000  # an archive holds about 10,000 films
SPARE = 1 << 30  # bytes left free on the disk

logger = logging.getLogger(__name__)


def _archive(number: int, key: str, size: int, md5: str) -> Remote:
    return Remote(STATIC.format(key), f"images_{number:03d}.tar.gz", f"md5:{md5}", size)


def _table(name: str, file_id: int, size: int, sha256: str) -> Remote:
    return Remote(SHARED.format(file_id), name, f"sha256:{sha256}", size)


ARCHIVES = (
    _archive(1, "vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "fe8ed0a6961412fddcbb3603c11b3698"),
    _archive(2, "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    _archive(3, "f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "2301d03bde4c246388bad3876965d574"),
    _archive(4, "0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    _archive(5, "v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "1861f3cd0ef7734df8104f2b0309023b"),
    _archive(6, "asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "456b53a8b351afd92a35bc41444c58c8"),
    _archive(7, "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "1075121ea20a137b87f290d6a4a5965e"),
    _archive(8, "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "b61f34cec3aa69f295fbb593cbd9d443"),
    _archive(9, "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "442a3caa61ae9b64e61c561294d1e183"),
    _archive(10, "l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "09ec81c4c31e32858ad8cf965c494b74"),
    _archive(11, "hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "499aefc67207a5a97692424cf5dbeed5"),
    _archive(12, "ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "dc9fda1757c2de0032b63347a7d2895c"),
)
"""The twelve archives of films. MD5: the publisher's FAQ_CHESTXRAY.pdf, question 7. Addresses: the publisher's
batch_download_zips.py. Sizes: as the publisher's server announces them."""

TABLES = (
    _table(
        "Data_Entry_2017_v2020.csv",
        219760887468,
        9_003_496,
        "c69a6daca3549af707ca9cacbdf9f9a7b6a9188e8c61157df653520bb72d8eb1",
    ),
    _table(
        "BBox_List_2017.csv",
        219760940956,
        92_416,
        "0bbfea9d4c4e9771481b3023b1bc9f0df9dea924453b12986beb29b0c4d0c95b",
    ),
    _table(
        "train_val_list.txt",
        256056636701,
        1_470_907,
        "61fbe896321c1c1c8b75f3e4f3a08e4fef6486d95ef8a667c31d4d60dca6cb81",
    ),
    _table(
        "test_list.txt",
        256055473534,
        435_131,
        "38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc",
    ),
)
"""Table, boxes and official lists. The publisher gives no checksum of them: these are of the files as fetched."""


def fetch_nih(
    to: Path,
    *,
    parts: Sequence[int] = tuple(range(1, 13)),
    keep_archives: bool = False,
    archives: Sequence[Remote] = ARCHIVES,
    tables: Sequence[Remote] = TABLES,
) -> list[Path]:
    """Fetch tables, lists and the archives numbered `parts` into `to`, and unpack each as soon as it is there.

    An archive becomes `to/images_NNN/images/*.png`. A part whose folder is there is not fetched again; what was begun
    is gone on with. Without `keep_archives` each archive is removed once it is unpacked.

    Returns
    -------
    The files and folders that are there now, in the order of the tables and the parts.

    Raises
    ------
    UserError
        For a part that does not exist, for too little room (before anything is fetched), and as `fetch` and `unpack`.
    """
    wrong = [part for part in parts if not 1 <= part <= len(archives)]
    if wrong:
        raise UserError(f"--parts {wrong[0]}: the archives are numbered 1 to {len(archives)}")
    hint = f"Fetch it by hand from {PAGE} into {to}, and run the same command again"
    wanted = [archives[part - 1] for part in sorted(set(parts))]
    missing = [remote for remote in wanted if not _folder(to, remote).is_dir()]
    require_room(ensure_folder(to), _room(to, missing, keep_archives=keep_archives))
    found = [fetch(remote, to, hint=hint) for remote in tables]
    for remote in wanted:
        folder = _folder(to, remote)
        if remote in missing:
            archive = fetch(remote, to, hint=hint)
            unpack(archive, folder, max_bytes=4 * (remote.size or 1 << 30), max_files=MAX_FILES)
        archive = to / remote.name
        if archive.exists() and not keep_archives:
            archive.unlink()
        found.append(folder)
    return found


def _folder(to: Path, remote: Remote) -> Path:
    return to / remote.name.removesuffix(".tar.gz")


def _room(to: Path, missing: Sequence[Remote], *, keep_archives: bool) -> int:
    """Bytes that will be needed at the worst moment.

    Films in PNG do not shrink further in an archive, so that it unpacks to about its own size.
    """
    sizes = [remote.size or 0 for remote in missing]
    there = sum((to / remote.name).stat().st_size for remote in missing if (to / remote.name).is_file())
    archives = sum(sizes) if keep_archives else max(sizes, default=0)
    return SPARE + sum(sizes) + max(archives - there, 0) if sizes else 0
