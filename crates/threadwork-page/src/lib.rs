//! Functions of the page, or the Node program, that runs this WebAssembly program, called from any of
//! its threads, and messages to and from it.
//!
//! The page gives its functions by name, as the option `handlers` of a process. They take bytes
//! and answer with bytes or text, at once or later; the calling thread sleeps until then, and
//! all others go on. Messages have no name and no answer: [`send`] and [`receive`] here,
//! `process.on('message')` and `process.postMessage` there.
//!
//! Invariant: between the answer and the copy of it nothing else of this thread asks the page.
//!
//! # Example
//!
//! ```no_run
//! std::thread::scope(|scope| {
//!     for address in ["/a.bin", "/b.bin"] {
//!         scope.spawn(move || match threadwork_page::call("fetch", address.as_bytes()) {
//!             Ok(bytes) => println!("{address}: {} bytes", bytes.len()),
//!             Err(error) => eprintln!("{address}: {error}"),
//!         });
//!     }
//! });
//! ```
//!
//! A thread that works on what the page sends:
//!
//! ```no_run
//! # fn render(_: &[u8]) -> Vec<u8> { Vec::new() }
//! while let Ok(order) = threadwork_page::receive() {
//!     threadwork_page::send(&render(&order))?;
//! }
//! # Ok::<(), threadwork_page::PageError>(())
//! ```
//!
//! # Hosts
//!
//! The web host of Threadwork, in browsers, Node, Deno and Bun, where memory can be shared. The engine does
//! not start a program that imports these functions unless its embedder defines them. Natively
//! every call fails with [`PageError::NoPage`].

#![deny(missing_docs)]

use std::time::Duration;

/// Why a call of a page's function has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The function threw, its promise was broken, what it gave was not bytes, or the page
    /// has no function of this name: in the page's words.
    #[error("{0}")]
    Failed(String),
    /// This program is not WebAssembly, so there is no page.
    #[error("there is no page: the program is not WebAssembly")]
    NoPage,
}

/// Calls the page's function `name` with some bytes, and waits for its answer.
///
/// Blocks this thread until the page has answered, which may be never; it ends with the process
/// all the same. The page must not block meanwhile: its answer comes from its event loop.
///
/// # Errors
///
/// [`PageError::Failed`] if the page's function fails, or there is none of this name.
///
/// # Examples
///
/// ```
/// # #[cfg(not(target_family = "wasm"))]
/// assert_eq!(
///     threadwork_page::call("fetch", b"/data.bin"),
///     Err(threadwork_page::PageError::NoPage),
/// );
/// ```
pub fn call(name: &str, data: &[u8]) -> Result<Vec<u8>, PageError> {
    let answer = page::call(name, data)?;
    answer.map_err(|text| PageError::Failed(String::from_utf8_lossy(&text).into_owned()))
}

/// Has the page's function `name` called with some bytes, and goes on at once.
///
/// Calls of one thread arrive in their order. What the page's function throws ends the program.
///
/// # Errors
///
/// [`PageError::NoPage`] where the program is not WebAssembly.
///
/// # Examples
///
/// ```
/// # #[cfg(not(target_family = "wasm"))]
/// assert!(threadwork_page::post("progress", b"50 %").is_err());
/// ```
pub fn post(name: &str, data: &[u8]) -> Result<(), PageError> {
    page::post(name, data)
}

/// Sends a message to the page, which hears it by `process.on('message')`, and goes on at once.
///
/// Messages of one thread arrive in their order. What the page's listener throws ends the
/// program.
///
/// # Errors
///
/// [`PageError::NoPage`] where the program is not WebAssembly.
///
/// # Examples
///
/// ```
/// # #[cfg(not(target_family = "wasm"))]
/// assert_eq!(threadwork_page::send(b"done"), Err(threadwork_page::PageError::NoPage));
/// ```
pub fn send(data: &[u8]) -> Result<(), PageError> {
    page::send(data)
}

/// Takes the next message of the page (`process.postMessage`), and waits for one if there is none.
///
/// Each message goes to one thread. Blocks this thread until there is one, which may be
/// never; it ends with the process all the same. The page must not block meanwhile.
///
/// # Errors
///
/// [`PageError::NoPage`] where the program is not WebAssembly.
///
/// # Examples
///
/// ```
/// # #[cfg(not(target_family = "wasm"))]
/// assert_eq!(threadwork_page::receive(), Err(threadwork_page::PageError::NoPage));
/// ```
pub fn receive() -> Result<Vec<u8>, PageError> {
    loop {
        if let Some(message) = page::receive(FOR_EVER)? {
            return Ok(message);
        }
    }
}

/// As [`receive`], but waits for `timeout` at most: `None` if no message has come. With
/// [`Duration::ZERO`] it is those that are there already. The time runs in the page.
///
/// # Errors
///
/// [`PageError::NoPage`] where the program is not WebAssembly.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # #[cfg(not(target_family = "wasm"))]
/// assert!(threadwork_page::receive_timeout(Duration::ZERO).is_err());
/// ```
pub fn receive_timeout(timeout: Duration) -> Result<Option<Vec<u8>>, PageError> {
    page::receive(i64::try_from(timeout.as_nanos()).unwrap_or(FOR_EVER))
}

/// A number of nanoseconds that never pass.
const FOR_EVER: i64 = -1;

#[cfg(target_family = "wasm")]
mod page {
    use super::PageError;

    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        #[link_name = "call"]
        fn page_call(name: *const u8, name_len: usize, data: *const u8, len: usize) -> i32;
        #[link_name = "take"]
        fn page_take(answer: *mut u8);
        #[link_name = "post"]
        fn page_post(name: *const u8, name_len: usize, data: *const u8, len: usize);
        #[link_name = "send"]
        fn page_send(data: *const u8, len: usize);
        #[link_name = "receive"]
        fn page_receive(nanoseconds: i64) -> i32;
    }

    /// The answer, or the text of an error.
    pub(super) fn call(name: &str, data: &[u8]) -> Result<Result<Vec<u8>, Vec<u8>>, PageError> {
        // SAFETY: the host reads so many bytes from each of the two places, where they are.
        let length = unsafe { page_call(name.as_ptr(), name.len(), data.as_ptr(), data.len()) };
        // Of an error the length is below zero, less one.
        let is_error = length < 0;
        let answer = take(if is_error { !length } else { length } as usize);
        Ok(if is_error { Err(answer) } else { Ok(answer) })
    }

    /// This thread's last answer, whose `length` the host has just told it.
    fn take(length: usize) -> Vec<u8> {
        let mut answer = Vec::with_capacity(length);
        // SAFETY: the host writes the `length` bytes of this thread's last answer, for which
        // there is room, and keeps no pointer.
        unsafe { page_take(answer.as_mut_ptr()) };
        // SAFETY: they are written.
        unsafe { answer.set_len(length) };
        answer
    }

    pub(super) fn send(data: &[u8]) -> Result<(), PageError> {
        // SAFETY: the host reads so many bytes from there.
        unsafe { page_send(data.as_ptr(), data.len()) };
        Ok(())
    }

    pub(super) fn receive(nanoseconds: i64) -> Result<Option<Vec<u8>>, PageError> {
        // SAFETY: it takes a number, and touches no memory.
        let length = unsafe { page_receive(nanoseconds) };
        // Below zero there is none.
        Ok(usize::try_from(length).ok().map(take))
    }

    pub(super) fn post(name: &str, data: &[u8]) -> Result<(), PageError> {
        // SAFETY: as in `call`.
        unsafe { page_post(name.as_ptr(), name.len(), data.as_ptr(), data.len()) };
        Ok(())
    }
}

#[cfg(not(target_family = "wasm"))]
mod page {
    use super::PageError;

    pub(super) fn call(_: &str, _: &[u8]) -> Result<Result<Vec<u8>, Vec<u8>>, PageError> {
        Err(PageError::NoPage)
    }

    pub(super) fn post(_: &str, _: &[u8]) -> Result<(), PageError> {
        Err(PageError::NoPage)
    }

    pub(super) fn send(_: &[u8]) -> Result<(), PageError> {
        Err(PageError::NoPage)
    }

    pub(super) fn receive(_: i64) -> Result<Option<Vec<u8>>, PageError> {
        Err(PageError::NoPage)
    }
}
