//! Ports: what a slice asks of one that is ranked after it. The lower slice owns the trait, the other
//! implements it, and `app` plugs the two together.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    sync::Arc,
};

use super::error::{Error, Result};

/// The plugged ports, by the type of their trait object.
#[derive(Default)]
pub struct Ports(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Ports {
    /// Plugs `port` in: `ports.plug::<dyn Memberships>(Arc::new(...))`.
    #[must_use]
    pub fn plug<P: ?Sized + Send + Sync + 'static>(mut self, port: Arc<P>) -> Self {
        self.0.insert(TypeId::of::<P>(), Box::new(port));
        self
    }

    /// The port of type `P`.
    ///
    /// # Errors
    /// `INTERNAL` if `app` did not plug it in.
    pub fn get<P: ?Sized + Send + Sync + 'static>(&self) -> Result<&Arc<P>> {
        self.0
            .get(&TypeId::of::<P>())
            .and_then(|port| port.downcast_ref::<Arc<P>>())
            .ok_or_else(|| Error::internal(format!("nothing is plugged in for {}", type_name::<P>())))
    }
}
