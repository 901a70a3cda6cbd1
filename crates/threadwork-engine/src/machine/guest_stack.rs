//! The frames of a guest, from wherever its thread is: in the guest's code, in a trampoline, or
//! in the host.
//!
//! Guests keep frame pointers, the host does not. So where a thread is in the host the walk
//! begins with what Wasmtime's trampolines have saved on the way out, in the store
//! ([`Exits`]); read in the source of Wasmtime 48 (a test pins the version, and compares what
//! comes out with Wasmtime's own backtraces).
//!
//! A walk that comes to the frame that Wasmtime knows as the first has been right. One may be
//! wrong, and is then told apart: where a function moves its own frame, for some instructions,
//! because it tail calls another one (see `stop_signal`).
//!
//! Invariant: what is read of the stack lies between the interrupted thread's stack pointer
//! and the frame that entered the guest, whatever the words in between are. So a walk may be
//! wrong where a chain is broken, and says so; it never reads what is not there. It takes no
//! lock and allocates nothing: signal handlers do it.

use super::code_map::CodeMap;
use std::mem::offset_of;
use std::ptr::{NonNull, with_exposed_provenance};
use wasmtime::{AsContextMut, Func};

/// Frames that are kept of a stack: the newest.
const MOST_FRAMES: usize = 256;

/// Bytes of a frame's link to the older one: its address, and where the function returns to.
const FRAME: usize = 2 * size_of::<usize>();

/// Stands for the frames that are older than those that were kept.
pub(crate) const CUT: usize = 0;

/// Stands for the frames that could not be found.
pub(crate) const LOST: usize = 1;

/// Addresses of instructions, the newest first: where the thread is, and the calls that led
/// there. The last may be [`CUT`] or [`LOST`].
pub(crate) struct Stack {
    frames: [usize; MOST_FRAMES + 1],
    length: usize,
}

impl Stack {
    pub(crate) const fn new() -> Self {
        Self {
            frames: [0; MOST_FRAMES + 1],
            length: 0,
        }
    }

    /// Adds a frame that is older than all others; false if there is no room for more.
    pub(super) fn push(&mut self, frame: usize) -> bool {
        let has_room = self.length < MOST_FRAMES;
        if has_room {
            self.frames[self.length] = frame;
            self.length += 1;
        }
        has_room
    }

    /// What is older is not known, for this reason.
    fn end(&mut self, reason: usize) {
        self.frames[self.length] = reason;
        self.length += 1;
    }

    pub(crate) fn frames(&self) -> &[usize] {
        &self.frames[..self.length]
    }
}

/// Where a store keeps by which way its guest has entered, and left for the host.
#[derive(Clone, Copy)]
pub(crate) struct Exits(NonNull<StoreContext>);

// SAFETY: it is an address. Whoever reads what is there promises where and when.
unsafe impl Send for Exits {}

/// The beginning of Wasmtime's `VMStoreContext`.
#[repr(C)]
struct StoreContext {
    fuel_consumed: i64,
    epoch_deadline: u64,
    execution_version: u64,
    stack_limit: usize,
    gc_heap: [usize; 2],
    exit_trampoline_fp: usize,
    exit_pc: usize,
    entry_sp: usize,
    entry_fp: usize,
}

/// Wasmtime's `VMFuncRef`.
#[repr(C)]
struct FuncRef {
    array_call: usize,
    wasm_call: usize,
    type_index: u32,
    context: *const InstanceContext,
}

/// The beginning of Wasmtime's `VMContext`.
#[repr(C)]
struct InstanceContext {
    magic: u32,
    store: *mut StoreContext,
}

/// What an instance's context begins with; those of host functions begin with something else.
const INSTANCE: u32 = u32::from_le_bytes(*b"core");

impl Exits {
    /// Of the store that this function, which it has made, is in; `None` if it is not one of a
    /// module. Good for as long as the store lives.
    pub(crate) fn of(store: impl AsContextMut, function: Func) -> Option<Self> {
        let function = function.to_raw(store).cast::<FuncRef>();
        // SAFETY: what `to_raw` returns is a valid `VMFuncRef`.
        let context = unsafe { (*function).context };
        // SAFETY: all contexts of functions begin with such a number.
        if unsafe { (*context).magic } != INSTANCE {
            return None;
        }
        // SAFETY: by that number it is an instance's, whose next field this is.
        NonNull::new(unsafe { (*context).store }).map(Self)
    }

    /// The word of the context at this offset, which the interrupted thread may be about to
    /// write.
    ///
    /// # Safety
    ///
    /// The store must live, and the caller be the thread that runs it; the offset must be one
    /// of a word of [`StoreContext`].
    unsafe fn read(self, offset: usize) -> usize {
        let word = self.0.as_ptr().wrapping_byte_add(offset).cast::<usize>();
        // SAFETY: the caller's promise; words are written whole.
        unsafe { word.read_volatile() }
    }

    /// # Safety
    ///
    /// The store must live, and the caller be the thread that runs it; so for the others.
    unsafe fn trampoline(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.read(offset_of!(StoreContext, exit_trampoline_fp)) }
    }

    /// # Safety
    ///
    /// As for `trampoline`.
    unsafe fn return_address(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.read(offset_of!(StoreContext, exit_pc)) }
    }

    /// # Safety
    ///
    /// As for `trampoline`.
    unsafe fn entry(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.read(offset_of!(StoreContext, entry_fp)) }
    }
}

/// What a walk has to know of a thread in a guest.
pub(super) struct Walker<'a> {
    pub(super) code: &'a CodeMap,
    pub(super) exits: Option<Exits>,
    /// All frames of the guest are below.
    pub(super) top: usize,
}

impl Walker<'_> {
    /// Walks from the last exit to the host; false if the guest has not left for it, or nothing
    /// is known of it.
    ///
    /// # Safety
    ///
    /// The calling thread must run the guest, and have the stack from `sp` up to the top; the
    /// store must live.
    pub(super) unsafe fn walk_from_exit(&self, sp: usize, stack: &mut Stack) -> bool {
        let Some(exits) = self.exits else {
            return false;
        };
        // SAFETY: the caller's promise, here and below.
        let trampoline = unsafe { exits.trampoline() };
        // One that the guest has come back from is not above the stack pointer, or was
        // overwritten by the next.
        if !self.holds_frame(sp, trampoline) {
            return false;
        }
        // SAFETY: as above, and by the check.
        let frame = unsafe { word(trampoline) };
        // SAFETY: as above.
        let pc = unsafe { exits.return_address() };
        // SAFETY: as above.
        unsafe { self.walk(pc.wrapping_sub(1), frame, trampoline, stack) };
        true
    }

    /// Walks from an instruction of the module's code, where the thread has been interrupted.
    ///
    /// # Safety
    ///
    /// As for `walk_from_exit`; and `pc` must be in the module's code, with the frame pointer and
    /// the stack pointer that the thread has there.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(super) unsafe fn walk_from_code(&self, pc: usize, fp: usize, sp: usize, stack: &mut Stack) {
        // SAFETY: it is code, with readable bytes on both sides, or the beginning of it.
        let returns_from = match unsafe { Step::at(pc, self.code) } {
            Step::BeforePush | Step::Return => Some(sp),
            Step::AfterPush => Some(sp + size_of::<usize>()),
            Step::Body => None,
        };
        let Some(at) = returns_from else {
            // SAFETY: the caller's promise.
            return unsafe { self.walk(pc, fp, sp, stack) };
        };
        if at < sp || at >= self.top || !at.is_multiple_of(size_of::<usize>()) {
            return stack.end(LOST);
        }
        // The frame pointer is the caller's.
        if self.code.has(pc) {
            stack.push(pc);
        }
        // SAFETY: by the check it is in the stack.
        let caller = unsafe { word(at) };
        // Else it was the first function that the host has called.
        if self.code.text().contains(&caller) {
            // SAFETY: the caller's promise.
            unsafe { self.walk(caller - 1, fp, sp, stack) }
        }
    }

    /// Walks from `pc`, whose function has its frame at `fp`, above `low`.
    ///
    /// # Safety
    ///
    /// As for `walk_from_exit`, with `low` for the stack pointer.
    unsafe fn walk(&self, mut pc: usize, mut fp: usize, mut low: usize, stack: &mut Stack) {
        loop {
            if self.code.has(pc) && !stack.push(pc) {
                return stack.end(CUT);
            }
            if !self.holds_frame(low, fp) {
                return stack.end(LOST);
            }
            // SAFETY: by the check both words are in the stack.
            let older = unsafe { word(fp) };
            // SAFETY: as above.
            let return_address = unsafe { word(fp + size_of::<usize>()) };
            if !self.code.text().contains(&return_address) {
                // SAFETY: the caller's promise.
                let entry = self.exits.map(|exits| unsafe { exits.entry() });
                if entry.is_some_and(|entry| entry != fp) {
                    stack.end(LOST);
                }
                return;
            }
            low = fp + FRAME;
            pc = return_address - 1;
            fp = older;
        }
    }

    /// Whether a frame may be there. One of a function that has nothing on the stack begins
    /// where the stack does.
    fn holds_frame(&self, low: usize, fp: usize) -> bool {
        let end = fp.checked_add(FRAME);
        fp >= low && end.is_some_and(|end| end <= self.top) && fp.is_multiple_of(size_of::<usize>())
    }
}

/// How far a function has set up its frame.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
enum Step {
    /// The return address is on top of the stack.
    BeforePush,
    /// The caller's frame pointer is, and the return address below.
    AfterPush,
    /// The frame is there.
    Body,
    /// It is gone again.
    Return,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl Step {
    /// # Safety
    ///
    /// `pc` must be an instruction of this code.
    unsafe fn at(pc: usize, code: &CodeMap) -> Self {
        /// `push %rbp`, and what follows it in each prologue: `mov %rsp, %rbp`.
        const PUSH: u8 = 0x55;
        const MOVE: [u8; 3] = [0x48, 0x89, 0xE5];
        /// `ret`, without and with the bytes of arguments that it drops.
        const RETURNS: [u8; 2] = [0xC3, 0xC2];
        let text = code.text();
        let byte = |at: usize| {
            // SAFETY: it is in the code, which can be read.
            let read = || unsafe { with_exposed_provenance::<u8>(at).read() };
            text.contains(&at).then(read)
        };
        let here = byte(pc);
        if here == Some(PUSH) {
            return Self::BeforePush;
        }
        if here.is_some_and(|byte| RETURNS.contains(&byte)) {
            return Self::Return;
        }
        let moves = (0..MOVE.len()).all(|at| byte(pc + at) == Some(MOVE[at]));
        match moves && byte(pc - 1) == Some(PUSH) {
            true => Self::AfterPush,
            false => Self::Body,
        }
    }
}

/// A word of the stack.
///
/// # Safety
///
/// It must be in the stack of the calling thread, and aligned.
unsafe fn word(at: usize) -> usize {
    // SAFETY: the caller's promise; the stack was exposed by who took the address of its top.
    unsafe { with_exposed_provenance::<usize>(at).read_volatile() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_stacks_are_cut() {
        let mut stack = Stack::new();
        (0..MOST_FRAMES).for_each(|frame| assert!(stack.push(frame + 2)));
        assert!(!stack.push(7));
        stack.end(CUT);
        assert_eq!(stack.frames().len(), MOST_FRAMES + 1);
        assert_eq!(stack.frames().last(), Some(&CUT));
    }
}
