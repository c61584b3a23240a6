const assert = require('assert');
const test = require('node:test');
const { page } = require('../src/page');

test('a healthy page', () => assert.equal(page('/health'), 'ok'));
