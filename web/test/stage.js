// Host functions of the tests' own guests: what they say to the test, and what it lets them do.
//
//   words: 0 open, 1 how many numbers were said, 2.. the numbers

export default ({ data }) => {
  const words = new Int32Array(data);
  return {
    stage: {
      say: (number) => {
        const at = Atomics.add(words, 1, 1);
        Atomics.store(words, 2 + at, number);
      },
      open: () => Atomics.load(words, 0),
    },
  };
};
