//! Rewrites the `name` section, so that a backtrace still reads like the program.
//!
//! Invariant: whatever the section holds, the result is well formed: subsections
//! by ascending number, names by ascending index and one for each. A section that
//! cannot be read is as good as none, as the specification has it for all custom
//! sections; the names of what the rewriter added are given in any case.

use wasm_encoder::{
    CustomSection, NameMap, NameSection,
    reencode::{Error, Reencode},
};
use wasmparser::{Name, NameSectionReader};

use crate::{
    ENTER, RESERVED, RESET, STACK_LOW, STACK_OVERFLOW, STACK_SIZE, STOP, STOP_AT,
    plan::{AddedFunction, Plan},
};

/// Writes a `name` section with what `old` says and names for what was added.
pub(crate) fn section(old: Option<NameSectionReader<'_>>, plan: &Plan) -> CustomSection<'static> {
    let read = |old| Names::read(old, plan);
    let names = old.and_then(|old| read(old).ok()).unwrap_or_default();
    names.write(plan)
}

/// A name and its index.
type Named<'a> = (u32, std::borrow::Cow<'a, str>);

/// A `name` section under new indices.
#[derive(Default)]
struct Names<'a> {
    functions: Vec<Named<'a>>,
    memories: Vec<Named<'a>>,
    globals: Vec<Named<'a>>,
    data: Vec<Named<'a>>,
    /// The other subsections, each with its number, encoded.
    others: Vec<(u8, Vec<u8>)>,
}

/// Numbers of the subsections that names are added to.
const FUNCTIONS: u8 = 1;
const MEMORIES: u8 = 6;
const GLOBALS: u8 = 7;
const DATA: u8 = 9;

impl<'a> Names<'a> {
    fn read(old: NameSectionReader<'a>, plan: &Plan) -> Result<Self, Error> {
        let mut names = Self::default();
        let mut renumber = plan.renumber.clone();
        for subsection in old {
            let subsection = subsection?;
            let (list, map) = match subsection {
                Name::Function(map) => (&mut names.functions, map),
                Name::Memory(map) => (&mut names.memories, map),
                Name::Global(map) => (&mut names.globals, map),
                Name::Data(map) => (&mut names.data, map),
                other => {
                    let number = number(&other);
                    let mut section = NameSection::new();
                    renumber.parse_custom_name_subsection(&mut section, other)?;
                    names.others.push((number, bytes(&section)));
                    continue;
                }
            };
            for naming in map {
                let naming = naming?;
                list.push((naming.index, naming.name.into()));
            }
        }
        for (index, _) in &mut names.functions {
            *index = renumber.function(*index);
        }
        for (index, _) in &mut names.memories {
            *index = renumber.memory(*index);
        }
        Ok(names)
    }

    fn write(mut self, plan: &Plan) -> CustomSection<'static> {
        let name = |what: String| (RESERVED.to_owned() + &what).into();
        for (index, (import, _)) in (plan.first_sync()..).zip(&plan.sync) {
            self.functions.push((index, name(import.name.clone())));
        }
        for (index, function) in plan.indexed_functions() {
            let name = match function {
                AddedFunction::Enter => ENTER.into(),
                AddedFunction::Reset => RESET.into(),
                AddedFunction::Stop => STOP.into(),
                AddedFunction::StackOverflow => STACK_OVERFLOW.into(),
                AddedFunction::StackBounds => name("stack-bounds".to_owned()),
                AddedFunction::Init { segment, memory } => {
                    name(format!("init:{segment}:{}", plan.renumber.memory(memory)))
                }
                AddedFunction::Wrapper(function) => name(format!("call:{function}")),
                AddedFunction::Pieces(operation) => {
                    name(operation.map(|old| plan.renumber.memory(old)).name())
                }
            };
            self.functions.push((index, name));
        }
        for (segment, &global) in &plan.flags {
            self.globals
                .push((global, name(format!("dropped:{segment}"))));
        }
        if let Some(stack) = plan.stack {
            self.globals.push((stack.low, STACK_LOW.into()));
            self.globals.push((stack.size, STACK_SIZE.into()));
        }
        if let Some(look) = plan.stop_look {
            self.globals.push((look.global, STOP_AT.into()));
        }
        if let Some(segment) = plan.empty_segment {
            self.data.push((segment, name("empty".to_owned())));
        }

        let mut subsections = self.others;
        for (number, names, add) in [
            (FUNCTIONS, self.functions, NameSection::functions as Add),
            (MEMORIES, self.memories, NameSection::memories),
            (GLOBALS, self.globals, NameSection::globals),
            (DATA, self.data, NameSection::data),
        ] {
            if !names.is_empty() {
                let mut section = NameSection::new();
                add(&mut section, &name_map(names));
                subsections.push((number, bytes(&section)));
            }
        }
        subsections.sort_by_key(|&(number, _)| number);
        subsections.dedup_by_key(|&mut (number, _)| number);
        let all: Vec<u8> = subsections
            .into_iter()
            .flat_map(|(_, bytes)| bytes)
            .collect();
        CustomSection {
            name: "name".into(),
            data: all.into(),
        }
    }
}

/// How one of the lists is added to a section.
type Add = fn(&mut NameSection, &NameMap);

fn name_map(mut names: Vec<Named<'_>>) -> NameMap {
    // Stable, so that the first of two names for one index stays.
    names.sort_by_key(|&(index, _)| index);
    names.dedup_by_key(|&mut (index, _)| index);
    let mut map = NameMap::new();
    for (index, name) in names {
        map.append(index, &name);
    }
    map
}

/// The subsections of a section, encoded.
fn bytes(section: &NameSection) -> Vec<u8> {
    section.as_custom().data.into_owned()
}

fn number(subsection: &Name<'_>) -> u8 {
    match *subsection {
        Name::Module { .. } => 0,
        Name::Function(_) => FUNCTIONS,
        Name::Local(_) => 2,
        Name::Label(_) => 3,
        Name::Type(_) => 4,
        Name::Table(_) => 5,
        Name::Memory(_) => MEMORIES,
        Name::Global(_) => GLOBALS,
        Name::Element(_) => 8,
        Name::Data(_) => DATA,
        Name::Field(_) => 10,
        Name::Tag(_) => 11,
        Name::Unknown { ty, .. } => ty,
    }
}
