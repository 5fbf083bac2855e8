"""Folders of immutable parts: atomic writing, a journal to resume from, a sealed manifest, locks, verification.

A stage writes each part to a temporary name, flushes it to the disk, renames it, and only then is the part entered in
the journal. When all parts are there the journal becomes the manifest. So whatever is listed is whole, and a stage
that was killed goes on with what is missing.
"""

from negmine.store.files import (
    file_sha256,
    part_name,
    read_part,
    remove_leftovers,
    scratch,
    sync_folder,
    write_file,
    write_output,
    write_table,
    write_text,
)
from negmine.store.folder import TEMPORARY, folder_at
from negmine.store.lock import LOCK, locked
from negmine.store.manifest import MANIFEST, REDO, FileRecord, Manifest, PartRecord, Spec, add_counts, differences
from negmine.store.share import JOINING, WHOLE, Share, ShareDone, run_all
from negmine.store.stage_folder import (
    JOURNAL,
    REJECTED_FILE,
    Store,
    check_own,
    is_other,
    load_manifest,
    reading,
    refuse_other_settings,
    verify_files,
    verify_store,
)

__all__ = [
    "JOINING",
    "JOURNAL",
    "LOCK",
    "MANIFEST",
    "REDO",
    "REJECTED_FILE",
    "TEMPORARY",
    "WHOLE",
    "FileRecord",
    "Manifest",
    "PartRecord",
    "Share",
    "ShareDone",
    "Spec",
    "Store",
    "add_counts",
    "check_own",
    "differences",
    "file_sha256",
    "folder_at",
    "is_other",
    "load_manifest",
    "locked",
    "part_name",
    "read_part",
    "reading",
    "refuse_other_settings",
    "remove_leftovers",
    "run_all",
    "scratch",
    "sync_folder",
    "verify_files",
    "verify_store",
    "write_file",
    "write_output",
    "write_table",
    "write_text",
]
