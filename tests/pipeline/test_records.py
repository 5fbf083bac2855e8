"""The types of rows have just the columns of their tables."""

import typing

import pyarrow as pa
import pytest
from negmine.contract import records

KINDS = {str: pa.types.is_string, int: pa.types.is_integer, float: pa.types.is_floating, bool: pa.types.is_boolean}
ROWS = [
    (records.PairRow, records.PAIRS),
    (records.NegativeRow, records.NEGATIVES),
    (records.NeighbourRow, records.NEIGHBOURS),
    (records.FigureRow, records.FIGURES),
    (records.BatchRow, records.BATCHES),
    (records.MemberRow, records.FIGURES.field("members").type.value_type),
    (records.FigureEditRow, records.FIGURES.field("edits").type.value_type),
    (records.EditRow, records.NEGATIVES.field("edits").type.value_type),
]


@pytest.mark.parametrize(("row", "table"), ROWS)
def test_a_row_has_the_columns_of_its_table(row: type, table: pa.Schema | pa.StructType) -> None:
    hints = typing.get_type_hints(row)
    columns = {table.field(n).name: table.field(n) for n in range(len(table.names))}
    assert hints.keys() == columns.keys()
    for name, column in columns.items():
        kind = next((one for one in typing.get_args(hints[name]) if one is not type(None)), hints[name])
        if typing.get_origin(hints[name]) is not list and kind in KINDS:
            assert KINDS[kind](column.type), name
        if row not in (records.BatchRow, records.MemberRow, records.FigureEditRow, records.EditRow):
            assert column.nullable == (type(None) in typing.get_args(hints[name])), name
