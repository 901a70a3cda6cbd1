//! Whether debug information is small enough to be read.
//!
//! It is the guest's, and it is read in the host, where no limit of the process holds.
//! `addr2line` believes it: it goes one call deeper for each function that was inlined into
//! another, and a few bytes that are referred to from many places become a table for each
//! of them. So it is walked here first, without recursion and without keeping anything.
//! What passes costs some hundred megabytes and some seconds at most, whoever made it. The
//! bounds are far beyond what compilers write for a module of the size that is allowed.

use gimli::{AbbreviationsCacheStrategy, LittleEndian, Reader, Section, UnitRef};
use std::collections::BTreeSet;

type Bytes<'a> = gimli::EndianSlice<'a, LittleEndian>;
type Dwarf<'a> = gimli::Dwarf<Bytes<'a>>;

/// Bytes of all sections that are read.
pub(super) const MOST_BYTES: usize = 128 << 20;

/// Functions that are inlined into each other: each is a level of recursion.
const DEEPEST_INLINING: usize = 128;

/// Attributes of an entry. Compilers write about twenty.
const MOST_ATTRIBUTES: usize = 64;

/// Bytes of a name, which are looked through for their end each time it is read.
const LONGEST_NAME: usize = 64 << 10;

/// Bytes of the header of one line program: an entry of one byte becomes a hundred.
const LONGEST_LINE_HEADER: usize = 1 << 20;

/// References that `addr2line` follows from a function to its name.
const NAME_REFERENCES: u64 = 16;

/// Bytes looked at for the names of all that is inlined into one function.
const MOST_NAME_LOOKUPS: u64 = 1 << 32;

/// The debug information is malformed or would cost too much.
pub(super) struct Refused;

impl From<gimli::Error> for Refused {
    fn from(_: gimli::Error) -> Self {
        Self
    }
}

/// What may still be read of a module.
struct Left {
    units: u64,
    /// Bytes of abbreviation tables; each takes twenty bytes at worst.
    abbreviations: u64,
    /// Attributes of entries: one may take no byte.
    attributes: u64,
    /// Functions, inlined ones too.
    functions: u64,
    /// Entries of range lists: any number of functions may refer to one list.
    ranges: u64,
    /// Bytes of line programs: any number of units may refer to one program.
    lines: u64,
    /// Rows that the line programs make.
    rows: u64,
    /// Files and folders that the line programs name.
    files: u64,
    /// Bytes of the full paths of these files, of which one text may be a part of all.
    paths: u64,
    /// Bytes looked at to find the name of an inlined function, at worst.
    name_lookup: u64,
}

/// Uses some of what is left.
fn take(left: &mut u64, amount: impl TryInto<u64>) -> Result<(), Refused> {
    let amount = amount.try_into().map_err(|_| Refused)?;
    *left = left.checked_sub(amount).ok_or(Refused)?;
    Ok(())
}

/// Refuses what is not safe to give to `addr2line`.
pub(super) fn check(mut dwarf: Dwarf<'_>) -> Result<(), Refused> {
    let info = dwarf.debug_info.reader().slice();
    let mut left = Left {
        units: 1 << 16,
        abbreviations: 8 << 20,
        attributes: 1024 + 4 * info.len() as u64,
        functions: 2 << 20,
        ranges: 4 << 20,
        lines: 2 * dwarf.debug_line.reader().len() as u64,
        rows: 8 << 20,
        files: 1 << 20,
        paths: 64 << 20,
        name_lookup: 0,
    };
    let strings = [
        dwarf.debug_str.reader().slice(),
        dwarf.debug_line_str.reader().slice(),
    ];
    let longest = strings.map(longest_name).into_iter().max().unwrap_or(0);
    if longest > LONGEST_NAME {
        return Err(Refused);
    }
    let in_place = abbreviations(&dwarf, &mut left)? * longest_name(info) as u64;
    left.name_lookup = NAME_REFERENCES * (MOST_ATTRIBUTES as u64 + in_place) + longest as u64;
    dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        unit(&dwarf, header, &mut left)?;
    }
    Ok(())
}

/// The longest text that ends with a zero, or with the section.
fn longest_name(section: &[u8]) -> usize {
    let names = section.split(|byte| *byte == 0);
    names.map(<[u8]>::len).max().unwrap_or(0)
}

/// Checks the tables of abbreviations, each once: they are read for each place that a unit
/// refers to, and these may overlap. Returns how many attributes an entry may have whose
/// length is not known before they are read through.
fn abbreviations(dwarf: &Dwarf<'_>, left: &mut Left) -> Result<u64, Refused> {
    let mut offsets = BTreeSet::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        take(&mut left.units, 1_u64)?;
        offsets.insert(header.debug_abbrev_offset().0);
    }
    let mut most_in_place = 0;
    for offset in offsets {
        let mut table = *dwarf.debug_abbrev.reader();
        table.skip(offset)?;
        let before = table.len();
        while !table.is_empty() && table.read_uleb128()? != 0 {
            most_in_place = most_in_place.max(abbreviation(&mut table)?);
        }
        take(&mut left.abbreviations, before - table.len())?;
    }
    Ok(most_in_place)
}

fn abbreviation(table: &mut Bytes<'_>) -> Result<u64, Refused> {
    let _tag = table.read_uleb128()?;
    let _has_children = table.read_u8()?;
    let mut in_place = 0;
    let mut names = BTreeSet::new();
    loop {
        let name = table.read_uleb128()?;
        let form = gimli::DwForm(table.read_uleb128_u16()?);
        match form {
            gimli::DwForm(0) if name == 0 => return Ok(in_place),
            gimli::DW_FORM_implicit_const => _ = table.read_sleb128()?,
            gimli::DW_FORM_string | gimli::DW_FORM_indirect => in_place += 1,
            _ => {}
        }
        // None may be there twice, which also bounds how often a name is looked up.
        if !names.insert(name) || names.len() > MOST_ATTRIBUTES {
            return Err(Refused);
        }
    }
}

type Header<'a> = gimli::UnitHeader<Bytes<'a>>;

fn unit<'a>(dwarf: &Dwarf<'a>, header: Header<'a>, left: &mut Left) -> Result<(), Refused> {
    use gimli::UnitType::{SplitType, Type};
    if matches!(header.type_(), Type { .. } | SplitType { .. }) {
        return Ok(()); // Nobody reads it.
    }
    let abbreviations = dwarf.abbreviations(&header)?;
    let mut entries = header.entries_raw(&abbreviations, None)?;
    let root = entries.read_abbreviation()?;
    for attribute in root.into_iter().flat_map(|root| root.attributes()) {
        let attribute = entries.read_attribute(*attribute)?;
        if attribute.name() == gimli::DW_AT_stmt_list
            && let gimli::AttributeValue::DebugLineRef(offset) = attribute.value()
        {
            line_header(*dwarf.debug_line.reader(), offset.0, left)?;
        }
    }
    let Ok(unit) = gimli::Unit::new_with_abbreviations(dwarf, header, abbreviations) else {
        return Ok(()); // Nobody can read it.
    };
    let unit = UnitRef::new(dwarf, &unit);
    functions(unit, left)?;
    lines(unit, left)
}

/// Checks how long a line program says that it is, before anything of it is read.
fn line_header(mut section: Bytes<'_>, offset: usize, left: &mut Left) -> Result<(), Refused> {
    section.skip(offset)?;
    let (length, format) = section.read_initial_length()?;
    take(&mut left.lines, length)?;
    if section.read_u16()? >= 5 {
        section.skip(2)?; // The sizes of addresses and of segments.
    }
    match section.read_length(format)? {
        0..=LONGEST_LINE_HEADER => Ok(()),
        _ => Err(Refused),
    }
}

/// Goes through all entries of a unit.
fn functions(unit: UnitRef<'_, Bytes<'_>>, left: &mut Left) -> Result<(), Refused> {
    let mut entries = unit.entries_raw(None)?;
    // The depths of the function and the inlined ones that the entry is in.
    let mut function: Option<isize> = None;
    let mut inlined: Vec<isize> = Vec::new();
    let mut name_lookups = MOST_NAME_LOOKUPS;
    let mut is_root = true;
    while !entries.is_empty() {
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else {
            continue;
        };
        take(&mut left.attributes, abbreviation.attributes().len())?;
        function = function.filter(|outer| *outer < depth);
        while inlined.pop_if(|outer| *outer >= depth).is_some() {}
        match abbreviation.tag() {
            gimli::DW_TAG_subprogram => {
                take(&mut left.functions, 1_u64)?;
                if function.is_none() {
                    function = Some(depth);
                    name_lookups = MOST_NAME_LOOKUPS;
                }
            }
            gimli::DW_TAG_inlined_subroutine => {
                take(&mut left.functions, 1_u64)?;
                take(&mut name_lookups, left.name_lookup)?;
                inlined.push(depth);
                if inlined.len() > DEEPEST_INLINING {
                    return Err(Refused);
                }
            }
            _ if is_root => {}
            _ => {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
        }
        is_root = false;
        for attribute in abbreviation.attributes() {
            let attribute = entries.read_attribute(*attribute)?;
            if attribute.name() == gimli::DW_AT_ranges {
                ranges(unit, attribute.value(), left)?;
            }
        }
    }
    Ok(())
}

/// Counts a list of ranges. One that cannot be read has as many as come before that.
fn ranges<'a>(
    unit: UnitRef<'_, Bytes<'a>>,
    list: gimli::AttributeValue<Bytes<'a>>,
    left: &mut Left,
) -> Result<(), Refused> {
    if let Ok(Some(offset)) = unit.attr_ranges_offset(list)
        && let Ok(mut ranges) = unit.raw_ranges(offset)
    {
        while let Ok(Some(_)) = ranges.next() {
            take(&mut left.ranges, 1_u64)?;
        }
    }
    Ok(())
}

/// Goes through the line program of a unit.
fn lines(unit: UnitRef<'_, Bytes<'_>>, left: &mut Left) -> Result<(), Refused> {
    use gimli::LineInstruction::{Copy, DefineFile, EndSequence, Special};
    let Some(program) = &unit.line_program else {
        return Ok(());
    };
    let header = program.header();
    take(&mut left.files, header.include_directories().len())?;
    take(&mut left.files, header.file_names().len())?;
    let folder = unit.comp_dir.map_or(0, |folder| folder.len());
    let length = |text| {
        unit.attr_string(text)
            .map_or(LONGEST_NAME, |text| text.len())
    };
    // In older versions there is no first one.
    let files = header.file(0).into_iter();
    for file in files.chain((1..).map_while(|number| header.file(number))) {
        let below = file.directory(header).map_or(0, length);
        take(&mut left.paths, folder + below + length(file.path_name()))?;
    }
    let mut instructions = header.instructions();
    while let Ok(Some(instruction)) = instructions.next_instruction(header) {
        match instruction {
            Special(_) | Copy | EndSequence => take(&mut left.rows, 1_u64)?,
            // Obsolete, and would have to be counted with the others.
            DefineFile(_) => return Err(Refused),
            _ => {}
        }
    }
    Ok(())
}
