// Tells the page what the program says; or what nobody can send.

export default ({ data, post }) => ({
  own: { tell: (number) => post(data.isBad ? () => {} : { number, when: [1, 2] }) },
});
