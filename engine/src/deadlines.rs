//! What comes due at a time of its own: a heap that knows the next, and of each where it is in it,
//! so that one which is called off or set anew leaves nothing behind.

use alloc::vec::Vec;

use protocol::Micros;

/// Something with a time. Earlier ones come first, then by ids.
pub(crate) trait Deadline: Copy + Ord {
    fn at(&self) -> Micros;
    /// Whose it is: a table and a dense number in it. Each has one deadline at the most.
    fn owner(&self) -> (usize, usize);
}

pub(crate) struct Deadlines<D> {
    /// No entry is before its parent, which is at half its place.
    heap: Vec<D>,
    /// By owner: its place in the heap + 1; 0: none.
    places: Vec<Vec<u32>>,
}

impl<D> Default for Deadlines<D> {
    fn default() -> Self {
        Self { heap: Vec::new(), places: Vec::new() }
    }
}

impl<D: Deadline> Deadlines<D> {
    /// Sets an owner's deadline, instead of the one it has.
    pub fn set(&mut self, deadline: D) {
        let (table, index) = deadline.owner();
        self.clear((table, index));
        if self.places.len() <= table {
            self.places.resize_with(table + 1, Vec::new);
        }
        let places = &mut self.places[table];
        if places.len() <= index {
            places.resize((index + 1).next_power_of_two(), 0);
        }
        self.heap.push(deadline);
        self.rise(self.heap.len() - 1);
    }

    /// Forgets an owner's deadline.
    pub fn clear(&mut self, (table, index): (usize, usize)) {
        let known = self.places.get_mut(table).and_then(|places| places.get_mut(index));
        let Some(place) = known.map(core::mem::take).and_then(|place| place.checked_sub(1)) else {
            return;
        };
        let (place, last) = (place as usize, self.heap.len() - 1);
        self.heap.swap_remove(place);
        if place < last {
            self.sink(place);
            self.rise(place);
        }
    }

    /// An owner's deadline.
    pub fn of(&self, (table, index): (usize, usize)) -> Option<&D> {
        let place = *self.places.get(table)?.get(index)?;
        self.heap.get(place.checked_sub(1)? as usize)
    }

    /// When the next one ends.
    #[inline]
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.first().map(D::at)
    }

    /// Takes the first of those that have ended.
    pub fn take_ended(&mut self, now: Micros) -> Option<D> {
        let first = *self.heap.first().filter(|deadline| deadline.at() <= now)?;
        self.clear(first.owner());
        Some(first)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// All, the first one first.
    pub fn in_order(&self) -> Vec<D> {
        let mut all = self.heap.clone();
        all.sort_unstable();
        all
    }

    /// Moves an entry towards the root until its parent is before it, and notes where it is.
    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            let parent = (place - 1) / 2;
            self.heap.swap(place, parent);
            self.note(place);
            place = parent;
        }
        self.note(place);
    }

    /// Moves an entry away from the root until its children are behind it.
    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let child = children.filter(|child| *child < self.heap.len());
            let Some(child) = child.min_by_key(|child| self.heap[*child]) else { return };
            if self.heap[place] <= self.heap[child] {
                return;
            }
            self.heap.swap(place, child);
            self.note(place);
            self.note(child);
            place = child;
        }
    }

    fn note(&mut self, place: usize) {
        let (table, index) = self.heap[place].owner();
        self.places[table][index] = place as u32 + 1;
    }
}
