"""The register: what is accepted, and each fault with its place, its value and its remedy."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nomade.register import (
    COLUMNS,
    RESERVED_LOGINS,
    STATES,
    Machine,
    is_placeholder_serial,
    read_register,
    slug,
)
from nomade.table import TableError

GOOD = {
    "asset_tag": "vb-0001",
    "serial_number": "5CG1234XYZ",
    "mac_address": "00:00:5e:00:53:01",
    "model": "HP EliteBook 840 G6",
    "owner_department": "Finances",
    "state": "assigned",
    "assignee_login": "zmontlune",
    "assignee_name": "Zoé Montlune",
    "assignee_email": "zoe.montlune@example.org",
    "department": "Accueil et état civil",
    "extension": "2042",
    "wave": "1",
}
OTHER = {
    "asset_tag": "vb-0002",
    "serial_number": "5CG9876ABC",
    "mac_address": "00:00:5e:00:53:02",
    "assignee_login": "hclairbourg",
    "extension": "2043",
}
HEADER = ",".join(COLUMNS)

Read = Callable[..., list[Machine]]
Faults = Callable[..., list[str]]


pytestmark = pytest.mark.usefixtures("english")


def text(*lines: dict[str, str], header: str = HEADER) -> str:
    """Return a register: each line is the good one with some cells changed."""
    columns = header.split(",")
    quoted = [
        ",".join('"' + (GOOD | line).get(c, "").replace('"', '""') + '"' for c in columns)
        for line in lines
    ]
    return "\n".join([header, *quoted]) + "\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes) -> list[Machine]:
        path = tmp_path / "fleet.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_register(path)

    return read


@pytest.fixture
def faults(read: Read) -> Faults:
    """Return the faults of a register as they are told."""

    def faults(content: str | bytes) -> list[str]:
        with pytest.raises(TableError) as refused:
            read(content)
        return str(refused.value).splitlines()

    return faults


# What is accepted --------------------------------------------------------------------------------


def test_a_line_becomes_a_machine(read: Read) -> None:
    (machine,) = read(text({}))
    assert machine == Machine(line=2, **(GOOD | {"wave": 1}), management_address="")  # type: ignore[arg-type]
    assert machine.is_assigned


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("quoted", [True, False])
def test_whatever_calc_or_excel_write(
    read: Read, bom: bytes, line_end: str, delimiter: str, quoted: bool
) -> None:
    content = text({}, OTHER).replace(",", delimiter).replace("\n", line_end)
    content = content if quoted else content.replace('"', "")
    assert [m.asset_tag for m in read(bom + content.encode())] == ["vb-0001", "vb-0002"]


def test_columns_in_any_order_and_more_of_them(read: Read) -> None:
    header = ",".join(["notes", *reversed(COLUMNS), "shelf", "shelf", ""])
    (machine,) = read(text({"notes": "two\nlines, and a ; too", "shelf": "B"}, header=header))
    assert machine.assignee_name == "Zoé Montlune"


def test_column_names_in_capitals_and_blanks_around_cells(read: Read) -> None:
    (machine,) = read(text({"model": "  Latitude\u00a0"}).replace("model", " Model "))
    assert machine.model == "Latitude"


def test_blank_lines_are_no_machines_but_count_as_lines(read: Read) -> None:
    content = text({}, OTHER).splitlines()
    content.insert(1, "," * 11)
    content.insert(1, "")
    assert [m.line for m in read("\n".join(content))] == [4, 5]


def test_a_register_without_machines_yet(read: Read) -> None:
    assert read(HEADER) == []


def test_a_comma_inside_quotes(read: Read) -> None:
    (machine,) = read(text({"assignee_name": 'Montlune, Zoé dite "Zo"'}))
    assert machine.assignee_name == 'Montlune, Zoé dite "Zo"'


def test_decomposed_accents_are_composed(read: Read) -> None:
    (machine,) = read(text({"assignee_name": "Zoe\u0301"}))
    assert machine.assignee_name == "Zoé"


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+33", "-2", "@SUM(1)", "{{ 1 }}", "$(id)"])
def test_formulas_and_templates_are_text(read: Read, cell: str) -> None:
    (machine,) = read(text({"assignee_name": cell, "model": cell}))
    assert machine.assignee_name == machine.model == cell


@pytest.mark.parametrize(
    "cell", ["02:AB:cd:00:00:01", "02-ab-cd-00-00-01", "02ab.cd00.0001", "02ABCD000001"]
)
def test_mac_addresses_have_one_form(read: Read, cell: str) -> None:
    assert read(text({"mac_address": cell}))[0].mac_address == "02:ab:cd:00:00:01"


@pytest.mark.parametrize("state", [state for state in STATES if state != "assigned"])
def test_other_machines_are_nobodys(read: Read, state: str) -> None:
    nobody = dict.fromkeys(COLUMNS[6:], "")
    (machine,) = read(text(nobody | {"state": state, "mac_address": "", "serial_number": ""}))
    assert machine.wave is None
    assert not machine.is_assigned


def test_the_optional_columns(read: Read) -> None:
    header = f"{HEADER},management_address"
    one, other = read(
        text(
            {"management_address": "FD00:0::42", "assignee_email": "", "department": ""},
            OTHER | {"management_address": "10.20.40.7"},
            header=header,
        )
    )
    assert (one.management_address, other.management_address) == ("fd00::42", "10.20.40.7")


@pytest.mark.parametrize("state", ["lost", "returned", "quarantined"])
def test_a_person_whose_laptop_is_gone_has_another(read: Read, state: str) -> None:
    gone = OTHER | {key: GOOD[key] for key in ("assignee_login", "extension")} | {"state": state}
    assert len(read(text({}, gone))) == 2


@pytest.mark.parametrize(
    "serial",
    [
        "To be filled by O.E.M.",
        "TO BE FILLED BY O.E.M",
        "None",
        "Default string",
        "System Serial Number",
        "Not Specified",
        "N/A",
        "0000000",
        "XXXXXXXX",
        "123456789",
        "-",
        "",
    ],
)
def test_placeholder_serials_are_empty_and_never_collide(read: Read, serial: str) -> None:
    assert is_placeholder_serial(serial)
    machines = read(text({"serial_number": serial}, OTHER | {"serial_number": serial}))
    assert [m.serial_number for m in machines] == ["", ""]


@pytest.mark.parametrize("serial", ["5CG1234XYZ", "PF0A1B2C", "7H9K2M3"])
def test_real_serials_are_no_placeholders(serial: str) -> None:
    assert not is_placeholder_serial(serial)


@pytest.mark.parametrize(
    ("department", "group"),
    [
        ("Accueil et état civil", "accueil_et_etat_civil"),
        ("Maîtrise d'œuvre", "maitrise_d_oeuvre"),
        ("  R.H. ", "r_h"),
    ],
)
def test_slug(department: str, group: str) -> None:
    assert slug(department) == group


# What is refused, cell by cell -------------------------------------------------------------------

CELLS = [
    ("asset_tag", "", "the cell is empty; write the name on the machine's label"),
    ("asset_tag", "VB-0001", "is no host name (RFC 1123); write lower-case"),
    ("asset_tag", "vb_0001", "like vb-0001"),
    ("asset_tag", "vb 1", "is no host name"),
    ("asset_tag", "-vb", "is no host name"),
    ("asset_tag", "vb-", "is no host name"),
    ("asset_tag", "vb.1", "is no host name"),
    ("asset_tag", "é1", "is no host name"),
    ("asset_tag", "v" * 64, "is no host name"),
    ("asset_tag", "vb;reboot", "is no host name"),
    ("asset_tag", "{{ 1 }}", "is no host name"),
    ("asset_tag", "all", "is reserved by Ansible or Nomade"),
    ("asset_tag", "ungrouped", "is reserved"),
    ("asset_tag", "localhost", "is reserved"),
    ("asset_tag", "workstations", "is reserved"),
    ("asset_tag", "servers", "is reserved"),
    ("asset_tag", "1234", "would be taken for an address; put letters before it, like vb-1234"),
    ("asset_tag", "0x7f000001", "would be taken for an address"),
    ("state", "", "the cell is empty; write one of recovered, stock, assigned"),
    ("state", "assignée", "is no state; write one of recovered, stock, assigned, returned"),
    ("state", "Assigned", "is no state"),
    ("assignee_login", "", "the machine is assigned to nobody; write whose it is"),
    ("assignee_name", "", "the machine is assigned to nobody; write whose it is"),
    ("assignee_login", "root", "is the name of an account or group of the system"),
    ("assignee_login", "nomade", "is the name of an account or group of the system"),
    ("assignee_login", "sudo", "is the name of an account or group of the system"),
    ("assignee_login", "systemd-oom", "is the name of an account or group of the system"),
    ("assignee_login", "a;b", "is a login that Debian refuses; write a lower-case letter"),
    ("assignee_login", "ZMontlune", "like zmontlune"),
    ("assignee_login", "zoé", "like zoe"),
    ("assignee_login", "zoe.montlune", "like zoemontlune"),
    ("assignee_login", "1zoe", "like zoe"),
    ("assignee_login", "-zoe", "is a login that Debian refuses"),
    ("assignee_login", "zoe$", "is a login that Debian refuses"),
    ("assignee_login", "z" * 33, "is a login that Debian refuses"),
    ("assignee_login", "../zoe", "is a login that Debian refuses"),
    ("assignee_name", "Zoé: Montlune", "holds a colon, which /etc/passwd can't"),
    ("assignee_name", "Zoé\nMontlune", "holds a line break; write it on one line"),
    ("assignee_name", "Zoé\x1b[31m", "holds the invisible character U+001B"),
    ("assignee_name", "Zoé\u202egnp", "holds the invisible character U+202E"),
    ("assignee_name", "Zoé\u200b", "holds the invisible character U+200B"),
    ("assignee_name", "Zoé\x00", "holds a NUL byte; type the cell again"),
    ("assignee_name", "Z" * 256, "is 256 characters long; write at most 255"),
    ("mac_address", "00:00:5e:00:53", "is no MAC address; write it like 3c:52:82:0a:1b:2c"),
    ("mac_address", "00:00-5e:00:53:01", "is no MAC address"),
    ("mac_address", "00:00:5e:00:53:0g", "is no MAC address"),
    ("mac_address", "5300000001", "is no MAC address"),
    ("mac_address", "01:00:5e:00:53:01", "is a multicast address"),
    ("mac_address", "FF-FF-FF-FF-FF-FF", "is a multicast address"),
    ("mac_address", "00:00:00:00:00:00", "is nobody's address"),
    ("assignee_email", "zoe", "is no e-mail address; write it like marie.durand@example.org"),
    ("assignee_email", "zoe@example", "is no e-mail address"),
    ("assignee_email", "zoe@@example.org", "is no e-mail address"),
    ("assignee_email", "zoé@example.org", "is no e-mail address"),
    ("assignee_email", "zoe..m@example.org", "is no e-mail address"),
    ("assignee_email", "zoe@-example.org", "is no e-mail address"),
    ("assignee_email", "zoe@example.org, z@example.org", "is no e-mail address"),
    ("owner_department", "???", "holds no letter or digit; write the department's name"),
    ("department", "-", "holds no letter or digit"),
    ("extension", "1", "is no extension; write 2 to 6 digits, like 2042"),
    ("extension", "2042000", "is no extension"),
    ("extension", "20 42", "is no extension"),
    ("extension", "٢٠٤٢", "is no extension"),
    ("extension", "112", "is an emergency number; write another extension"),
    ("wave", "0", "is no wave; write a whole number from 1 to 99"),
    ("wave", "1,5", "is no wave"),
    ("wave", "-1", "is no wave"),
    ("wave", "pilot", "is no wave"),
    ("management_address", "10.20.40.300", "is no IP address; write it like 192.168.1.42"),
    ("management_address", "10.20.40.1/24", "is no IP address"),
    ("management_address", "laptop.example.org", "is no IP address"),
    ("management_address", "fe80::1%eth0;id", "is no IP address"),
    ("management_address", "224.0.0.1", "is no machine's address"),
    ("management_address", "0.0.0.0", "is no machine's address"),  # noqa: S104 (not bound to)
    ("management_address", "255.255.255.255", "is no machine's address"),
]


@pytest.mark.parametrize(("column", "value", "said"), CELLS)
def test_a_cell_is_refused(faults: Faults, column: str, value: str, said: str) -> None:
    (fault,) = faults(text(OTHER, {column: value}, header=f"{HEADER},management_address"))
    assert fault.startswith(f'fleet.csv:3: {column}: "'), fault
    assert said in fault
    if value.isprintable() and len(value) <= 60:
        assert f': "{value}": ' in fault
    assert fault.isprintable()
    assert "; " in fault  # what is wrong; what to write instead


@pytest.mark.parametrize(("column", "value", "said"), CELLS)
def test_a_cell_is_refused_in_french(
    monkeypatch: pytest.MonkeyPatch, faults: Faults, column: str, value: str, said: str
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    (fault,) = faults(text(OTHER, {column: value}, header=f"{HEADER},management_address"))
    assert fault.startswith(f'fleet.csv:3: {column}: "')
    assert said not in fault or said.startswith("like ")
    assert " ; " in fault
    assert "write" not in fault


def test_no_reserved_login_is_accepted(faults: Faults) -> None:
    lines = [
        {"assignee_login": login, "extension": str(3000 + n)} | dict.fromkeys(unique, "")
        for n, login in enumerate(sorted(RESERVED_LOGINS))
        for unique in [("serial_number", "mac_address")]
    ]
    told = faults(text(*(line | {"asset_tag": f"vb-{n}"} for n, line in enumerate(lines))))
    assert len(told) == len(RESERVED_LOGINS)


# What is refused, across lines -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("asset_tag", "vb-0001"),
        ("serial_number", "5cg-1234 xyz"),
        ("mac_address", "00-00-5E-00-53-01"),
        ("mac_address", "0000.5e00.5301"),
        ("assignee_login", "zmontlune"),
        ("extension", "2042"),
    ],
)
def test_a_duplicate_is_refused(faults: Faults, column: str, value: str) -> None:
    (fault,) = faults(text({}, OTHER | {column: value}))
    assert fault == (
        f'fleet.csv:3: {column}: "{value}": stands on line 2 already ("vb-0001"); '
        "write this machine's own"
    )


@pytest.mark.parametrize(
    ("column", "value"), [("asset_tag", "VB-0001"), ("assignee_login", "ZMontlune")]
)
def test_a_duplicate_in_other_case_is_both_faults(faults: Faults, column: str, value: str) -> None:
    told = faults(text({}, OTHER | {column: value}))
    assert len(told) == 2
    assert "stands on line 2 already" in told[1]


@pytest.mark.parametrize("column", ["asset_tag", "serial_number", "mac_address"])
def test_hardware_is_unique_whatever_the_state(faults: Faults, column: str) -> None:
    (fault,) = faults(text({}, OTHER | {"state": "retired", column: GOOD[column]}))
    assert f": {column}: " in fault


# What is refused of the file's form --------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\n\r\n", "\ufeff", ",,,\n;;\n", "  \n"])
def test_an_empty_file(faults: Faults, content: str) -> None:
    (fault,) = faults(content)
    assert fault == (f'fleet.csv:1: -: "": the file is empty; write as its first line {HEADER}')


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column(faults: Faults, column: str) -> None:
    header = ",".join(c for c in COLUMNS if c != column)
    (fault,) = faults(text({}, OTHER, header=header))
    assert fault == (
        f'fleet.csv:1: {column}: "": the column is missing; write {column} in the first line'
    )


def test_a_misspelt_column_is_named(faults: Faults) -> None:
    (fault,) = faults(text({}).replace("serial_number", "serialnumber", 1))
    assert fault.startswith('fleet.csv:1: serial_number: "serialnumber": the column is missing')


@pytest.mark.parametrize("column", [*COLUMNS, "management_address"])
def test_a_doubled_column(faults: Faults, column: str) -> None:
    (fault,) = faults(text({}, header=f"{HEADER},management_address,{column}"))
    assert fault == (
        f'fleet.csv:1: {column}: "{column}": the column stands there twice; delete one of the two'
    )


def test_no_header_at_all(faults: Faults) -> None:
    told = faults(text({}).split("\n", 1)[1])
    assert len(told) == len(COLUMNS)
    assert all(fault.startswith("fleet.csv:1: ") for fault in told)


def test_a_short_line(faults: Faults) -> None:
    (fault,) = faults(text(OTHER) + "vb-0001,5CG1234XYZ\n")
    assert fault == (
        'fleet.csv:3: mac_address: "vb-0001,5CG1234XYZ": the line has 2 cells, the first line 12; '
        "add the missing ones, empty or not"
    )


def test_a_long_line(faults: Faults) -> None:
    line = text({"assignee_name": "Montlune, Zoé"}).splitlines()[1].replace('"', "")
    (fault,) = faults(text(OTHER) + line + "\n")
    assert fault.startswith('fleet.csv:3: -: "vb-0001,')
    assert fault.endswith(
        "the line has 13 cells, the first line 12; "
        "put quotes around the cell that holds a comma or semicolon"
    )


def test_empty_cells_beyond_the_last_column_are_nothing(read: Read) -> None:
    assert len(read(text({}).rstrip("\n") + ",,,\n")) == 1


def test_an_unclosed_quote_hides_no_other_fault(faults: Faults) -> None:
    content = text({}).splitlines()
    content[1] = content[1].replace('"Finances"', '"Finances')
    told = faults("\n".join([*content, *text(OTHER | {"wave": "0"}).splitlines()[1:]]))
    assert len(told) == 2
    assert told[0].startswith('fleet.csv:2: -: ""vb-0001","5CG1234XYZ"')
    assert told[0].endswith(
        'a quote (") is not closed, or stands inside a cell; close it, or double it ("")'
    )
    assert told[1].startswith('fleet.csv:3: wave: "0"')


def test_an_unclosed_quote_at_the_very_end(faults: Faults) -> None:
    (fault,) = faults(text({}).rstrip().removesuffix('"'))
    assert fault.startswith("fleet.csv:2: -: ")


def test_an_unclosed_quote_in_the_first_line(faults: Faults) -> None:
    (fault,) = faults('"' + text({}).replace('"', ""))
    assert fault.startswith('fleet.csv:1: -: ""asset_tag,')


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman"])
def test_another_encoding_is_one_fault(faults: Faults, encoding: str) -> None:
    (fault,) = faults(text({}, OTHER).encode(encoding))
    assert fault.startswith('fleet.csv:2: assignee_name: "Zo\\x')
    assert ": is not UTF-8, nor are 3 more cells; save the file as UTF-8 (" in fault


def test_another_encoding_in_a_column_of_the_towns_own(faults: Faults) -> None:
    (fault,) = faults(
        text({"notes": "pr\xeat"}, header=f"{HEADER},notes")
        .encode("latin-1")
        .replace(b"Zo\xe9", b"Zoe")
        .replace(b"\xe9tat", b"etat")
    )
    assert fault.startswith('fleet.csv:2: notes: "pr\\xeat": is not UTF-8; save')


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16(faults: Faults, encoding: str) -> None:
    content = ("" if encoding == "utf-16" else "\ufeff") + text({})
    (fault,) = faults(content.encode(encoding))
    assert fault.startswith('fleet.csv:1: -: "": is UTF-16, not UTF-8; save the file as UTF-8')


def test_a_nul_byte_in_a_column_of_the_towns_own(faults: Faults) -> None:
    (fault,) = faults(text({"notes": "a\0b"}, header=f"{HEADER},notes"))
    assert fault == 'fleet.csv:2: notes: "a\\x00b": holds a NUL byte; type the cell again'


def test_line_numbers_are_an_editors(faults: Faults) -> None:
    """Neither a line separator (U+2028) nor a form feed ends a line; a quoted line break does."""
    header = f"{HEADER},notes"
    (fault,) = faults(text({"notes": "a\u2028b\x0cc\nd"}, OTHER | {"wave": "0"}, header=header))
    assert fault.startswith("fleet.csv:4: wave: ")


def test_a_very_long_cell_and_a_very_long_value_are_told_short(faults: Faults) -> None:
    for size in (5_000, 200_000):  # the csv module's own limit lies between
        (fault,) = faults(text(OTHER, {"model": "x" * size}))
        assert fault.startswith("fleet.csv:3: ")
        assert len(fault) < 250


# All at once, and anything at all ----------------------------------------------------------------


def test_all_faults_are_told_at_once_in_the_order_of_lines(faults: Faults) -> None:
    lines = [
        {
            "asset_tag": f"vb-{n}",
            "serial_number": "",
            "mac_address": "",
            "assignee_login": f"login{n}",
            "extension": str(3000 + n),
            column: value,
        }
        for n, (column, value, _) in enumerate(CELLS)
    ]
    told = faults(text(*lines, header=f"{HEADER},management_address"))
    # a line break makes its line two: places are compared by their order only
    assert [fault.split(": ")[1] for fault in told] == [column for column, _, _ in CELLS]
    numbers = [int(fault.split(":")[1]) for fault in told]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("seed", range(200))
def test_nothing_but_faults_whatever_the_bytes(read: Read, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    content = bytearray(text({}, OTHER).encode())
    for _ in range(rng.randrange(1, 30)):
        position = rng.randrange(len(content))
        if rng.random() < 0.5:
            content[position] = rng.choice([0, 10, 13, 34, 44, 59, 0xC3, 0xFF, rng.randrange(256)])
        else:
            del content[position : position + rng.randrange(9)]
    try:
        told = [machine.asset_tag for machine in read(bytes(content))]
    except TableError as refused:
        told = [str(fault) for fault in refused.faults]
    assert all(told)
    assert all(line.isprintable() for line in told)
