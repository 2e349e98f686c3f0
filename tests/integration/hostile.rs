//! Hostile input: requests that two servers read in two ways, tunnels that must not open, broken frames, floods. What is
//! answered, that the backend sees nothing of it, that memory is bounded, and that nobody else notices (R35, R12).

mod corpus;
mod floods;
mod frames;
mod neighbour;
mod recorder;
mod requests;
mod upgrades;
