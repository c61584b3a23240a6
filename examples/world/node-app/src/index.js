const { createServer } = require('http');
const { page } = require('./page');

const server = createServer((request, response) => {
  console.log(request.method, request.url);
  response.end(page(request.url));
});
process.on('SIGTERM', () => server.close(() => console.log('closed')));
server.listen(3000);
