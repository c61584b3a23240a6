const { greet } = require('greeter');

exports.page = (url) => (url === '/health' ? 'ok' : greet(process.getuid() === 0 ? 'root' : 'nobody'));
