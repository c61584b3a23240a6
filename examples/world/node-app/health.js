// health.js PATH: print a page of the server, waiting until it answers.
const ask = () =>
  require('http')
    .get({ port: 3000, path: process.argv[2], agent: false, headers: { connection: 'close' } }, (response) =>
      response.on('data', (data) => console.log(String(data))))
    .on('error', () => setTimeout(ask, 50));
ask();
