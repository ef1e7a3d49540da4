//! What Go's linker leaves undone, done to the module that it makes.
//!
//! A component's host passes values into memory that it asks the guest for, and while it does so, the guest may call
//! nothing of the host. An exported function in Go does: whoever allocates may be the one who begins to collect garbage,
//! and looks at the clock. And before Go's runtime has started, no exported function can run at all; the adapter from WASI
//! 0.1 to 0.2 asks for its memory then. (It must not grow the memory itself: Go takes whatever is grown for its own.)
//!
//! So the SDK keeps memory ready, and says behind a mark where that is. The module gets the functions that hand it out:
//!
//! - `cabi_realloc_adapter`, for the adapter, hands out the room among Go's variables that is set aside for it.
//! - `cabi_realloc`, for the host, hands out the arena, which the SDK fills up before each call. Only where that does not
//!   suffice Go is asked, whose collector rests between calls; and the clock stands still meanwhile, so that Go does not
//!   leave the module for it.

use wasm_encoder::{BlockType, ConstExpr, Encode, Function, Instruction, MemArg, ValType};
use wasmparser::{BinaryReader, BinaryReaderError, FunctionBody, Operator, Parser, Payload, TypeRef};

use super::component::EncodeError;

/// What stands in the module's data before the addresses, 8 bytes each, of the room and of the arena: `mark` in the SDK.
const MARK: [u8; 16] = *b"sump:adapterroom";
/// How large the room is, in bytes: a page for the adapter's stack, one for its state.
const ROOM: u32 = 2 << 16;
/// The SDK's own allocator.
const GO_ALLOCATOR: &str = "sump_realloc";
/// Those that it gets, in the order of their functions.
const ALLOCATORS: [&str; 2] = ["cabi_realloc_adapter", "cabi_realloc"];

/// The sections that get more entries, by their numbers in the format.
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// What is in a module, as far as it matters here.
#[derive(Default)]
struct Found<'a> {
    types: u32,
    functions: u32,
    globals: u32,
    /// The function by which Go looks at the clock, an import.
    clock: Option<u32>,
    /// The SDK's own allocator.
    allocator: Option<u32>,
    /// The addresses of the room and of the arena.
    kept: Option<[u32; 2]>,
    bodies: Vec<FunctionBody<'a>>,
}

/// Gives a module the functions that hand out memory. One that does not use the SDK stays as it is.
pub(super) fn finish(module: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let found = look(module)?;
    let (Some(clock), Some(allocator), Some([room, arena])) = (found.clock, found.allocator, found.kept) else {
        return Ok(module.to_vec());
    };
    // The functions that are added, and the globals: where the room goes on, whether the host is asking, what the
    // monotonic clock said last, and what the other one did.
    let [adapter, host, still_clock] = [0, 1, 2].map(|index| found.functions + index);
    let [next, asking, monotonic, wall] = [0, 1, 2, 3].map(|index| found.globals + index);
    let mut made = module[..8].to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let Some((id, range)) = payload?.as_section() else { continue };
        let content = &module[range];
        let content = match id {
            TYPES => with(content, &[function_type(&[ValType::I32; 4]), function_type(&CLOCK)])?,
            FUNCTIONS => with(content, &[found.types, found.types, found.types + 1].map(encoded))?,
            GLOBALS => with(content, &[number(room), number(0), time(), time()])?,
            EXPORTS => with(content, &[(ALLOCATORS[0], adapter), (ALLOCATORS[1], host)].map(export))?,
            CODE => {
                let mut bodies = Vec::new();
                (found.bodies.len() as u32 + 3).encode(&mut bodies);
                for body in &found.bodies {
                    redirected(module, body, clock, still_clock)?.encode(&mut bodies);
                }
                allocate_room(next, room + ROOM).encode(&mut bodies);
                allocate_arena(arena, asking, allocator).encode(&mut bodies);
                look_at_clock(clock, asking, monotonic, wall).encode(&mut bodies);
                bodies
            }
            _ => content.to_vec(),
        };
        made.push(id);
        content.encode(&mut made);
    }
    Ok(made)
}

fn look(module: &[u8]) -> Result<Found<'_>, BinaryReaderError> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(types) => found.types = types.count(),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(_) => {
                            if import.name == "clock_time_get" {
                                found.clock = Some(found.functions);
                            }
                            found.functions += 1;
                        }
                        TypeRef::Global(_) => found.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => found.functions += functions.count(),
            Payload::GlobalSection(globals) => found.globals += globals.count(),
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.name == GO_ALLOCATOR {
                        found.allocator = Some(export.index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => found.bodies.push(body),
            Payload::DataSection(segments) => {
                for segment in segments {
                    found.kept = found.kept.or(kept_in(segment?.data));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The addresses behind the mark. The linker leaves zeros at the end of a segment out.
fn kept_in(data: &[u8]) -> Option<[u32; 2]> {
    let behind = &data[memchr::memmem::find(data, &MARK)? + MARK.len()..];
    let address = |at: usize| {
        let byte = |index: usize| behind.get(at + index).copied().unwrap_or(0);
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    };
    Some([address(0), address(8)])
}

/// A function's body with every call of one function made to another one.
fn redirected(module: &[u8], body: &FunctionBody<'_>, from: u32, to: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut made = Vec::new();
    let mut copied = body.range().start;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, at) = operators.read_with_offset()?;
        if matches!(operator, Operator::Call { function_index } if function_index == from) {
            made.extend_from_slice(&module[copied..at]);
            Instruction::Call(to).encode(&mut made);
            copied = operators.original_position();
        }
    }
    made.extend_from_slice(&module[copied..body.range().end]);
    Ok(made)
}

/// (old, old size, alignment, size) to an address: the next free one of the room, which ends at `end`.
fn allocate_room(next: u32, end: u32) -> Function {
    let mut function = Function::new([]);
    let mut add = |instruction: Instruction<'_>| {
        function.instruction(&instruction);
    };
    add(Instruction::GlobalGet(next));
    align(&mut add);
    add(Instruction::LocalTee(0));
    add(Instruction::LocalGet(3));
    add(Instruction::I32Add);
    add(Instruction::GlobalSet(next));
    add(Instruction::GlobalGet(next));
    add(Instruction::I32Const(end as i32));
    add(Instruction::I32GtU);
    add(Instruction::If(BlockType::Empty));
    add(Instruction::Unreachable);
    add(Instruction::End);
    add(Instruction::LocalGet(0));
    add(Instruction::End);
    function
}

/// (old, old size, alignment, size) to an address: the next free one of the arena, or else one that Go gives. The arena
/// is two numbers, where it goes on and where it ends.
fn allocate_arena(arena: u32, asking: u32, allocator: u32) -> Function {
    let field = |offset: u64| MemArg { offset: u64::from(arena) + offset, align: 2, memory_index: 0 };
    let mut function = Function::new([(1, ValType::I32)]);
    let mut add = |instruction: Instruction<'_>| {
        function.instruction(&instruction);
    };
    add(Instruction::LocalGet(1));
    add(Instruction::I32Eqz);
    add(Instruction::If(BlockType::Empty));
    {
        add(Instruction::I32Const(0));
        add(Instruction::I32Load(field(0)));
        align(&mut add);
        add(Instruction::LocalTee(4));
        // What is left, where the alignment did not go beyond it, and whether it suffices.
        add(Instruction::I32Const(0));
        add(Instruction::I32Load(field(4)));
        add(Instruction::I32LeU);
        add(Instruction::I32Const(0));
        add(Instruction::I32Load(field(4)));
        add(Instruction::LocalGet(4));
        add(Instruction::I32Sub);
        add(Instruction::LocalGet(3));
        add(Instruction::I32GeU);
        add(Instruction::I32And);
        add(Instruction::If(BlockType::Empty));
        {
            add(Instruction::I32Const(0));
            add(Instruction::LocalGet(4));
            add(Instruction::LocalGet(3));
            add(Instruction::I32Add);
            add(Instruction::I32Store(field(0)));
            add(Instruction::LocalGet(4));
            add(Instruction::Return);
        }
        add(Instruction::End);
    }
    add(Instruction::End);
    add(Instruction::I32Const(1));
    add(Instruction::GlobalSet(asking));
    (0..4).for_each(|parameter| add(Instruction::LocalGet(parameter)));
    add(Instruction::Call(allocator));
    add(Instruction::I32Const(0));
    add(Instruction::GlobalSet(asking));
    add(Instruction::End);
    function
}

/// Aligns the address on the stack by the third parameter, a power of two.
fn align(add: &mut impl FnMut(Instruction<'_>)) {
    add(Instruction::LocalGet(2));
    add(Instruction::I32Add);
    add(Instruction::I32Const(1));
    add(Instruction::I32Sub);
    add(Instruction::I32Const(0));
    add(Instruction::LocalGet(2));
    add(Instruction::I32Sub);
    add(Instruction::I32And);
}

/// The parameters of `clock_time_get`: which clock, how exactly, where the time is to be written.
const CLOCK: [ValType; 3] = [ValType::I32, ValType::I64, ValType::I32];

/// `clock_time_get`: what the clock says, or while the host asks for memory, what it said last.
fn look_at_clock(clock: u32, asking: u32, monotonic: u32, wall: u32) -> Function {
    let time = MemArg { offset: 0, align: 3, memory_index: 0 };
    let mut function = Function::new([]);
    let mut add = |instruction: Instruction<'_>| {
        function.instruction(&instruction);
    };
    add(Instruction::GlobalGet(asking));
    add(Instruction::If(BlockType::Empty));
    add(Instruction::LocalGet(2));
    add(Instruction::GlobalGet(monotonic));
    add(Instruction::GlobalGet(wall));
    add(Instruction::LocalGet(0));
    add(Instruction::Select);
    add(Instruction::I64Store(time));
    add(Instruction::I32Const(0));
    add(Instruction::Return);
    add(Instruction::End);
    (0..3).for_each(|parameter| add(Instruction::LocalGet(parameter)));
    add(Instruction::Call(clock));
    // Number 0 is the clock on the wall.
    add(Instruction::LocalGet(0));
    add(Instruction::If(BlockType::Empty));
    add(Instruction::LocalGet(2));
    add(Instruction::I64Load(time));
    add(Instruction::GlobalSet(monotonic));
    add(Instruction::Else);
    add(Instruction::LocalGet(2));
    add(Instruction::I64Load(time));
    add(Instruction::GlobalSet(wall));
    add(Instruction::End);
    add(Instruction::End);
    function
}

/// The content of a section with more entries.
fn with(content: &[u8], entries: &[Vec<u8>]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32()?;
    let mut made = encoded(count + entries.len() as u32);
    made.extend_from_slice(&content[reader.original_position()..]);
    made.extend(entries.iter().flatten());
    Ok(made)
}

fn encoded(value: impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// The type of a function with one number of 32 bits as its result.
fn function_type(parameters: &[ValType]) -> Vec<u8> {
    let mut bytes = vec![0x60];
    parameters.encode(&mut bytes);
    [ValType::I32][..].encode(&mut bytes);
    bytes
}

/// A mutable number of 32 bits.
fn number(value: u32) -> Vec<u8> {
    global(ValType::I32, &ConstExpr::i32_const(value as i32))
}

/// A mutable time.
fn time() -> Vec<u8> {
    global(ValType::I64, &ConstExpr::i64_const(0))
}

fn global(kind: ValType, value: &ConstExpr) -> Vec<u8> {
    let mut bytes = encoded(kind);
    bytes.push(1);
    value.encode(&mut bytes);
    bytes
}

/// An export of a function.
fn export((name, function): (&str, u32)) -> Vec<u8> {
    let mut bytes = encoded(name);
    bytes.push(0);
    function.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(data: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
                (memory (export "memory") 4)
                (global i32 (i32.const 1))
                (func (export "sump_realloc") (param i32 i32 i32 i32) (result i32)
                    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 64)))
                    local.get 3)
                (data (i32.const 8) "{data}"))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn exports(module: &[u8]) -> Vec<String> {
        let of = |payload: Payload<'_>| match payload {
            Payload::ExportSection(exports) => {
                exports.into_iter().map(|export| export.unwrap().name.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        Parser::new(0).parse_all(module).flat_map(|payload| of(payload.unwrap())).collect()
    }

    #[test]
    fn a_module_of_the_sdk_gets_what_hands_out_its_memory() {
        let made = finish(&module("...sump:adapterroom\\00\\00\\01\\00\\00\\00\\00\\00\\20")).unwrap();
        wasmparser::validate(&made).unwrap();
        assert_eq!(exports(&made), ["memory", "sump_realloc", "cabi_realloc_adapter", "cabi_realloc"]);
        // Nobody but what was added looks at the clock itself.
        let found = look(&made).unwrap();
        let calls = |body: &FunctionBody<'_>| {
            let mut operators = body.get_operators_reader().unwrap();
            let mut calls = Vec::new();
            while !operators.eof() {
                if let Operator::Call { function_index } = operators.read().unwrap() {
                    calls.push(function_index);
                }
            }
            calls
        };
        assert_eq!(found.bodies.iter().map(calls).collect::<Vec<_>>(), [vec![5], vec![], vec![2], vec![1]]);
    }

    #[test]
    fn the_addresses_are_read_even_where_their_zeros_were_left_out() {
        let data = b"..sump:adapterroom\x10\x20\x03\0\0\0\0\0\x08\x30\0\0\0\0\0\0x";
        assert_eq!(kept_in(data), Some([0x03_2010, 0x3008]));
        assert_eq!(kept_in(b"sump:adapterroom\0\x20\x03\0\0\0\0\0\x08"), Some([0x03_2000, 8]));
        assert_eq!(kept_in(b"sump:adapter"), None);
    }

    #[test]
    fn another_module_stays_as_it_is() {
        let plain = module("nothing");
        assert_eq!(finish(&plain).unwrap(), plain);
    }
}
