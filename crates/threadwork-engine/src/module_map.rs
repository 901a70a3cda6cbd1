//! [`ModuleMap`]: modules by name.
//!
//! Invariant: of each name, one module is compiled at a time; who asks for it meanwhile
//! waits for that one, and who asks for others does not.

use crate::lock::lock;
use crate::module::Module;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Modules by name, each made once however many ask for it at the same time: for a service
/// that is given names. It keeps all that it has made until they are
/// [removed](Self::remove); those that were compiled before the service was started again
/// are in the engine's [cache](crate::EngineBuilder::cache_dir).
///
/// ```
/// use threadwork_engine::{Engine, Error, Module, ModuleMap, ProcessBuilder};
///
/// # fn main() -> Result<(), Error> {
/// let engine = Engine::new()?;
/// let modules = ModuleMap::new();
/// let load = || Module::new(&engine, br#"(module (func (export "_start")))"#);
/// for _ in 0..3 {
///     let module = modules.get_or_load("job", load)?;
///     assert!(ProcessBuilder::new(&module).run()?.success());
/// }
/// assert_eq!(engine.stats().modules_compiled, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ModuleMap(Mutex<HashMap<String, Arc<Mutex<Option<Module>>>>>);

impl ModuleMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The module of this name; `load` makes it if there is none. Blocks while another
    /// thread makes it. `load` may not ask for the same name.
    ///
    /// # Errors
    ///
    /// That of `load`. Nothing is kept then: whoever asks next tries again.
    pub fn get_or_load<E>(
        &self,
        name: &str,
        load: impl FnOnce() -> Result<Module, E>,
    ) -> Result<Module, E> {
        let slot = Arc::clone(lock(&self.0).entry(name.to_owned()).or_default());
        let mut module = lock(&slot);
        if let Some(module) = &*module {
            return Ok(module.clone());
        }
        let made = load();
        if made.is_err() {
            // Unless it was removed, and begun anew, meanwhile.
            let mut slots = lock(&self.0);
            if slots.get(name).is_some_and(|now| Arc::ptr_eq(now, &slot)) {
                slots.remove(name);
            }
        }
        Ok(module.insert(made?).clone())
    }

    /// The module of this name, if it is there. Blocks while it is made.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Module> {
        let slot = Arc::clone(lock(&self.0).get(name)?);
        lock(&slot).clone()
    }

    /// Forgets the module of this name, for instance because there is a newer one. Processes
    /// that run it go on, and who is being given it gets it.
    pub fn remove(&self, name: &str) {
        lock(&self.0).remove(name);
    }
}
